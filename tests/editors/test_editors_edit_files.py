"""Files written by `editloop edit`: complete, and never over a user's own files."""

import errno
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from editloop.cli import app
from editloop.editors import edit as editing
from editloop.editors import edit_files
from editloop.editors.edit_files import edit_to_files
from editloop.errors import EditLoopError, ImageError, RecipeError, StoreError
from editloop.images.codec import content_hash, encode_jpeg, encode_png
from editloop.images.masks import mask_reading
from editloop.images.metadata import facts_in, stamped
from editloop.storage.files import Files

RAMP = np.linspace(0, 255, 96 * 80, dtype=np.uint8).reshape(80, 96)
PIXELS = np.dstack([RAMP, RAMP[::-1], RAMP[:, ::-1]])


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(encode_png(PIXELS))
    return path


def edited(photo, *words, output=None, **more):
    return list(edit_to_files(photo, words or ["make it sepia"], output, settings={}, **more))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_photo_is_not_replaced_by_its_edit(photo) -> None:
    before = photo.read_bytes()
    with pytest.raises(StoreError, match=r"another picture would be overwritten.*photo\.png"):
        edited(photo, output=photo)
    assert photo.read_bytes() == before


def test_an_edit_is_not_replaced_by_what_is_made_of_it(photo) -> None:
    (first,) = edited(photo)
    before = first.read_bytes()
    with pytest.raises(StoreError, match="choose another path with -o"):
        edited(first, "make it brighter", output=first)
    assert first.read_bytes() == before


def test_a_mask_is_not_replaced(photo, tmp_path) -> None:
    mask = tmp_path / "mask.png"
    mask.write_bytes(stamped(encode_png(np.full_like(PIXELS, 255)), {"fingerprint": "f"}))
    with pytest.raises(StoreError, match=r"another picture would be overwritten.*mask\.png"):
        edited(photo, output=mask, mask=mask)


@dataclass
class Stopping:
    """An editor that darkens by the seed; it is interrupted at a given seed."""

    stop_at: int | None = None
    name = "stopping"
    fingerprint = "stopping-1"
    asked: list[int] = field(default_factory=list)

    def edit(self, requests):
        if self.stop_at in [each.seed for each in requests]:
            raise KeyboardInterrupt
        self.asked += [each.seed for each in requests]
        return [each.image // (2 + each.seed) for each in requests]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_seeds_that_are_made_stay_when_the_rest_is_stopped(
    photo, tmp_path, monkeypatch, suffix
) -> None:
    editor = Stopping(stop_at=2)
    monkeypatch.setattr(edit_files, "editor_of", lambda *_: editor)

    def make(folder):
        place = tmp_path / folder / f"a{suffix}"
        return edited(photo, "darker", "darker still", output=place, seeds=range(4))

    with pytest.raises(KeyboardInterrupt):
        make("stopped")
    editor.stop_at = None
    stopped = make("stopped")
    assert editor.asked == [0, 0, 1, 1, 2, 2, 3, 3]
    assert make("stopped") == stopped
    assert len(editor.asked) == 8
    whole = make("whole")
    assert [each.name for each in stopped] == [each.name for each in whole]
    assert [each.read_bytes() for each in stopped] == [each.read_bytes() for each in whole]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_an_edit_is_replaced_by_the_next_try(photo, tmp_path, suffix) -> None:
    place = tmp_path / f"try{suffix}"
    (first,) = edited(photo, output=place)
    before = first.read_bytes()
    assert edited(photo, "make it brighter", output=place) == [first]
    assert first.read_bytes() != before
    assert edited(photo, output=place) == [first]
    assert first.read_bytes() == before
    assert names(tmp_path) == ["photo.png", place.name]


@pytest.mark.parametrize(
    ("taken", "turns", "seeds"),
    [
        ("a-1.png", ["make it sepia", "make it brighter"], [0]),
        ("a-seed-1.png", ["make it sepia"], [0, 1]),
        ("a-sheet.png", ["make it sepia"], [0, 1]),
    ],
)
def test_no_file_of_several_replaces_another_picture(photo, tmp_path, taken, turns, seeds) -> None:
    (tmp_path / taken).write_bytes(b"mine")
    with pytest.raises(StoreError, match=taken):
        edited(photo, *turns, output=tmp_path / "a.png", seeds=seeds)
    assert (tmp_path / taken).read_bytes() == b"mine"
    assert names(tmp_path) == sorted([taken, "photo.png"])


@pytest.mark.parametrize("place", ["photo.png/below/a.png", f"{'long' * 70}.png"])
def test_a_place_that_cannot_be_written_to_is_told_before_anything_is_edited(
    photo, tmp_path, place
) -> None:
    with pytest.raises(StoreError, match="cannot write a picture"):
        edited(photo, "an instruction that nobody understands", output=tmp_path / place)
    assert names(tmp_path) == ["photo.png"]


def test_a_full_disk_leaves_no_half_picture(photo, tmp_path, monkeypatch) -> None:
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Files, "write", full)
    with pytest.raises(StoreError, match="free some disk space"):
        edited(photo)
    assert not (tmp_path / "photo-edited.png").exists()


def test_a_folder_needs_a_folder_for_its_edits() -> None:
    for folder in ("/", "."):
        answer = CliRunner().invoke(app, ["edit", folder, "make it sepia"])
        assert isinstance(answer.exception, RecipeError)


def test_a_picture_that_can_be_read_once_only_is_edited(photo, tmp_path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(photo.read_bytes()))
    writer.start()
    made = edited(pipe, output=tmp_path / "a.png")
    writer.join()
    assert is_stamped_as(made[0], photo)


def is_stamped_as(path, photo):
    with Image.open(path) as picture:
        return content_hash(photo.read_bytes()) in picture.info["editloop"]


def test_too_many_seeds_and_none_are_refused(photo) -> None:
    for count in ("0", "1001"):
        answer = CliRunner().invoke(app, ["edit", str(photo), "make it sepia", "--seeds", count])
        assert answer.exit_code == 2
        assert "seeds" in answer.output


@pytest.mark.parametrize("encode", [encode_png, lambda pixels: encode_jpeg(pixels, 90)])
def test_a_stamp_is_known_again(encode) -> None:
    data = stamped(encode(PIXELS), {"seed": 3})
    assert facts_in(data) == {"seed": 3}
    assert facts_in(encode(PIXELS)) is None
    assert facts_in(data[:30]) is None
    assert facts_in(b"") is None


def test_a_jpegs_first_segment_stays_the_first() -> None:
    data = stamped(encode_jpeg(PIXELS, 90), {"seed": 3})
    assert data[2:4] == b"\xff\xe0"
    assert data[6:10] == b"JFIF"


@pytest.mark.slow
def test_a_sheet_of_many_is_about_as_wide_as_high() -> None:
    tile = np.zeros((384, 384, 3), np.uint8)
    assert editing.contact_sheet([tile] * 1001).shape == (33 * 384, 31 * 384, 3)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"image": PIXELS[..., 0]}, "not a picture: uint8 .80, 96."),
        ({"image": PIXELS / 255}, "not a picture: float64"),
        ({"image": PIXELS[:0]}, "not a picture"),
        ({"mask": RAMP}, "not a mask: uint8 from 0 to 255"),
        ({"mask": RAMP > 9}, "not a mask: bool"),
        ({"instructions": []}, "instruction is empty"),
        ({"instructions": " "}, "instruction is empty"),
        ({"seed": -1}, "seed is out of range: -1"),
        ({"seed": 2**63}, "seed is out of range"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_cannot_be_asked_is_refused(changes, cause) -> None:
    asked = {"image": PIXELS, "instructions": ["make it sepia"], **changes}
    with pytest.raises(EditLoopError, match=cause):
        editing.edit(asked.pop("image"), asked.pop("instructions"), **asked)


BOX = np.zeros((80, 96), np.uint8)
BOX[10:40, 20:50] = 1


def changed(pixels) -> np.ndarray:
    return (pixels != PIXELS).any(axis=2)


@pytest.mark.parametrize(
    ("mask", "options"),
    [
        (encode_png(BOX * 2), []),
        (encode_png(BOX + 1), ["--mask-rule", "index:2"]),
        (encode_png(1 - BOX), ["--invert-mask"]),
    ],
    ids=["labels", "rule", "inverted"],
)
def test_a_mask_of_labels_limits_an_edit(photo, tmp_path, mask, options) -> None:
    path, out = tmp_path / "mask.png", tmp_path / "out.png"
    path.write_bytes(mask)
    asked = ["edit", str(photo), "make it sepia", "--mask", str(path), "-o", str(out), *options]
    assert CliRunner().invoke(app, asked, catch_exceptions=False).exit_code == 0
    found = changed(editing.read_pixels(out))
    assert found.any()
    assert not found[BOX == 0].any()


@pytest.mark.parametrize(
    ("mask", "code", "words"),
    [
        (BOX * 0, "black-mask", "all black: it allows editing nowhere.*fix: .*--invert-mask"),
        (BOX + 1, "ambiguous-mask", r"mask\.png \(values 1, 2\).*fix: .*--mask-rule"),
    ],
    ids=["black", "ambiguous"],
)
def test_a_mask_that_allows_nothing_certain_is_refused(photo, tmp_path, mask, code, words) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(encode_png(mask))
    for ask in (
        lambda: editing.edit(photo, "make it sepia", mask=path),
        lambda: edited(photo, mask=path),
    ):
        with pytest.raises(ImageError, match=f"(?s){words}") as caught:
            ask()
        assert caught.value.code == code
    with pytest.raises(ImageError, match="nowhere"):
        editing.edit(PIXELS, "make it sepia", mask=BOX * 0)


def test_an_edit_by_another_mask_rule_is_made_anew(photo, tmp_path) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(encode_png(BOX * 255))
    out = tmp_path / "out.png"
    edited(photo, output=out, mask=path)
    edited(photo, output=out, mask=path, reading=mask_reading(invert=True))
    assert not changed(editing.read_pixels(out))[BOX > 0].any()


def test_a_mask_array_is_read_by_a_rule_too() -> None:
    (made,) = editing.edit(PIXELS, "make it sepia", mask=BOX + 1, mask_rule="index:2")
    assert not changed(made)[BOX == 0].any()


def test_a_mask_is_turned_with_its_photo_or_exif_is_named(tmp_path) -> None:
    exif, photo, mask = Image.Exif(), tmp_path / "photo.jpg", tmp_path / "mask.png"
    mask.write_bytes(encode_png(BOX * 255))
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(photo, exif=exif)
    (made,) = editing.edit(photo, "make it sepia", mask=mask)
    found = (made != editing.read_pixels(photo)).any(axis=2)
    assert found.shape == (96, 80)
    assert not found[np.rot90(BOX, -1) == 0].any()
    exif[0x0112] = 3
    Image.fromarray(PIXELS).save(photo, exif=exif)
    with pytest.raises(ImageError, match="EXIF"):
        editing.edit(photo, "make it sepia", mask=mask)


def test_one_instruction_may_be_a_plain_text() -> None:
    (alone,) = editing.edit(PIXELS, "make it sepia")
    assert np.array_equal(alone, editing.edit(PIXELS, ["make it sepia"])[0])
