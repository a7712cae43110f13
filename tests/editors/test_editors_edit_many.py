"""Several pictures by one command: one loaded editor, batches by size, nothing edited twice."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from editloop import registry
from editloop.cli import app
from editloop.editors.edit_many import edit_pictures
from editloop.images.codec import encode_png
from editloop.images.files import read_pixels
from editloop.schema import Unedited

LOADED: list[int] = []
BATCHES: list[list[tuple[int, ...]]] = []


class Inverting:
    """An editor that inverts all but black pictures, three at once."""

    name, fingerprint, at_once = "inverting", "1", 3

    def __init__(self) -> None:
        LOADED.append(1)

    def edit(self, requests):
        BATCHES.append([each.image.shape[:2] for each in requests])
        return [self._answer(each) for each in requests]

    def _answer(self, request):
        if not request.image.any():
            return Unedited("black")
        if request.mask is None:
            return 255 - request.image
        return np.where(request.mask[..., None] > 0, 255 - request.image, request.image)


class Maskless(Inverting):
    """Takes no mask."""

    uses_mask = False


@pytest.fixture(autouse=True)
def _counted(monkeypatch) -> None:
    monkeypatch.setitem(registry.BUILT_IN["editor"], "inverting", f"{__name__}:Inverting")
    LOADED.clear()
    BATCHES.clear()


def draw(path: Path, height: int, width: int, grey: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(np.full((height, width, 3), grey, np.uint8)))
    return path


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    for index in range(5):
        height = (8, 12)[index % 2]
        draw(folder / f"{index}.png", height, 8, 10 + index)
    draw(folder / "more" / "0.png", 8, 8, 90)
    (folder / "notes.txt").write_text("no picture")
    return folder


def run(*words: object):
    return CliRunner().invoke(app, ["edit", *map(str, words), "--editor", "inverting"])


def test_a_folder_is_edited_by_one_editor_in_batches_of_one_size_and_resumed(photos) -> None:
    out = photos / "edited"  # inside the folder: its edits are no pictures to edit
    (out / "more").mkdir(parents=True)
    done = run(photos, "invert it", "-o", out)
    assert done.exit_code == 0, done.output
    assert len(LOADED) == 1
    assert sorted(map(len, BATCHES)) == [1, 2, 3]
    assert all(len(set(batch)) == 1 for batch in BATCHES)
    assert read_pixels(out / "3-edited.png")[0, 0, 0] == 255 - 13
    assert read_pixels(out / "more" / "0-edited.png")[0, 0, 0] == 255 - 90
    assert "[6/6]" in done.output
    BATCHES.clear()
    (out / "2-edited.png").unlink()
    assert run(photos, "invert it", "-o", out).exit_code == 0
    assert BATCHES == [[(8, 8)]]


@pytest.mark.parametrize(
    "words", [["0.png", "1.png", "--instruction", "a", "--instruction", "b"], ["?.png", "a", "b"]]
)
def test_named_pictures_and_globs_are_edited_by_all_instructions(
    photos, tmp_path, monkeypatch, words
) -> None:
    monkeypatch.chdir(photos)
    done = run(*words, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert (read_pixels(tmp_path / "out" / "1-edited.png") == 11).all()
    assert (read_pixels(tmp_path / "out" / "1-edited-1.png") == 244).all()


def test_a_picture_that_fails_stops_no_other_and_the_command_tells(photos, tmp_path) -> None:
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    draw(photos / "black.png", 8, 8, 0)
    done = run(photos, "invert it", "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "2 pictures were not edited" in done.output
    assert "broken.png" in done.output
    assert len(list((tmp_path / "out").rglob("*.png"))) == 6


def test_pictures_of_one_stem_keep_their_extensions(photos, tmp_path) -> None:
    cv2.imwrite(str(photos / "1.jpg"), np.full((8, 8, 3), 200, np.uint8))
    pictures = edit_pictures([photos], ["a"], tmp_path / "out", editor="inverting", settings={})
    names = {each.name for found in pictures for each in found.files}
    assert {"1.png-edited.png", "1.jpg-edited.png", "2-edited.png"} <= names


@pytest.fixture
def masks(photos) -> Path:
    """The masks of all photos: the left half of each may change."""
    for path in photos.rglob("*.png"):
        mask = np.zeros(read_pixels(path).shape, np.uint8)
        mask[:, :4] = 255
        inside = photos.parent / "masks" / path.relative_to(photos)
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.write_bytes(encode_png(mask))
    return photos.parent / "masks"


def test_masks_in_a_folder_belong_to_the_pictures_of_their_names(photos, masks, tmp_path) -> None:
    done = run(photos, "a", "-o", tmp_path / "out", "--mask", masks)
    assert done.exit_code == 0, done.output
    for name, grey in {"3": 13, "more/0": 90}.items():
        edited = read_pixels(tmp_path / "out" / f"{name}-edited.png")
        assert (edited[0, 3, 0], edited[0, 4, 0]) == (255 - grey, grey)
    BATCHES.clear()
    (masks / "3.png").write_bytes(encode_png(np.full((12, 8, 3), 255, np.uint8)))
    assert run(photos, "a", "-o", tmp_path / "out", "--mask", masks).exit_code == 0
    assert BATCHES == [[(12, 8)]]  # the others record the same edit
    one = run(photos / "3.png", "a", "-o", tmp_path / "one.png", "--mask", masks)
    assert one.exit_code == 0, one.output
    assert (read_pixels(tmp_path / "one.png") == 255 - 13).all()


def test_masks_beside_the_pictures_are_named_by_a_glob_and_not_edited(photos, masks) -> None:
    for path in masks.rglob("*.png"):
        place = photos / path.relative_to(masks)
        path.rename(place.with_stem(f"{place.stem}_mask"))
    (photos / "more" / "0_mask.png").rename(photos / "more" / "0-MASK.png")
    out = photos.parent / "out"
    done = run(photos, "a", "-o", out, "--mask", photos / "**" / "*[_-][mM]*")
    assert done.exit_code == 0, done.output
    assert "[6/6]" in done.output
    assert read_pixels(out / "more" / "0-edited.png")[0, 4, 0] == 90


def test_a_picture_without_one_mask_stops_the_command_before_an_edit(photos, masks) -> None:
    (masks / "more" / "0_mask.png").write_bytes((masks / "0.png").read_bytes())
    out = photos.parent / "out"
    twice = run(photos, "a", "-o", out, "--mask", masks)
    assert "1 of 6 pictures have several masks" in str(twice.exception)
    (masks / "3.png").unlink()
    lacking = run(photos, "a", "-o", out, "--mask", masks)
    assert "1 of 6 pictures have no mask" in str(lacking.exception)
    assert str(photos / "3.png") in str(lacking.exception)
    assert not BATCHES
    assert not out.exists()


def test_a_mask_that_does_not_fit_costs_its_picture_alone(photos, masks) -> None:
    (masks / "1.png").write_bytes(encode_png(np.zeros((12, 8, 3), np.uint8)))
    (masks / "2.png").write_bytes(encode_png(np.full((5, 5, 3), 255, np.uint8)))
    done = run(photos, "a", "-o", photos.parent / "out", "--mask", masks)
    assert done.exit_code == 1
    assert "2 pictures were not edited" in done.output
    assert "all black" in done.output
    assert "mask 5x5, picture 8x8" in done.output


def test_masks_are_refused_by_an_editor_that_takes_none(photos, masks, monkeypatch) -> None:
    monkeypatch.setitem(registry.BUILT_IN["editor"], "inverting", f"{__name__}:Maskless")
    refused = run(photos, "a", "-o", photos.parent / "out", "--mask", masks)
    assert "takes no mask" in str(refused.exception)
    assert not BATCHES


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["photos", "a"], "-o FOLDER"),
        (["photos", "a", "-o", "out.png"], "name a folder"),
        (["photos", "a", "-o", "out", "--mask", "photos/0.png"], "a mask belongs to one picture"),
        (["empty", "a", "-o", "out"], "there is no picture"),
        (["photos/*.tiff", "a", "-o", "out"], "there is no picture"),
        (["photos/0.png", "photos/more/0.png", "--instruction", "a", "-o", "out"], "the same name"),
        (["photos/0.png", "photos/1.png", "a", "-o", "out"], "--instruction"),
    ],
)
def test_what_is_unclear_is_refused_before_an_edit(photos, monkeypatch, words, told) -> None:
    monkeypatch.chdir(photos.parent)
    Path("empty").mkdir()
    done = run(*words)
    assert done.exit_code == 1
    assert told in str(done.exception)
    assert not BATCHES


def test_several_seeds_of_several_pictures_have_contact_sheets(photos, tmp_path) -> None:
    done = run(photos, "a", "-o", tmp_path / "out", "--seeds", 2)
    assert done.exit_code == 0, done.output
    names = {each.name for each in (tmp_path / "out").iterdir() if each.is_file()}
    assert {"0-edited-seed-0.png", "0-edited-seed-1.png", "0-edited-sheet.png"} <= names


@pytest.mark.slow
def test_a_picture_of_more_than_64_megapixels_is_read_if_allowed(tmp_path) -> None:
    large = draw(tmp_path / "large.png", 8001, 8000, 1)
    refused = run(large, "a")
    assert "--allow-large" in str(refused.exception)
    done = run(large, "a", "--allow-large")
    assert done.exit_code == 0, done.output
