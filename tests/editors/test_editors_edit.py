"""One picture edited through the Python call and through the command."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from editloop.cli import app
from editloop.editors import edit
from editloop.errors import ImageError, InstructionError, RecipeError, StoreError
from editloop.images.codec import decode, encode_png
from editloop.models.saving import save_model
from networks import awake, pocket


@pytest.fixture
def photo(tmp_path):
    ramp = np.linspace(0, 255, 96 * 80, dtype=np.uint8).reshape(80, 96)
    path = tmp_path / "photo.png"
    path.write_bytes(encode_png(np.dstack([ramp, ramp[::-1], ramp[:, ::-1]])))
    return path


def test_each_instruction_edits_the_last_result(photo) -> None:
    grey, _ = edit.edit(photo, ["make it black and white", "make it brighter"])
    assert grey.shape == (80, 96, 3)
    assert np.ptp(grey.astype(int), axis=2).max() <= 2


def test_an_instruction_that_is_not_understood_says_what_can_be_done(photo) -> None:
    with pytest.raises(InstructionError, match="made no edit at turn 1: make the man smile"):
        edit.edit(photo, ["make the man smile"])


def test_a_mask_of_another_size_is_refused(photo) -> None:
    with pytest.raises(ImageError, match="mask 4x3, picture 96x80"):
        edit.edit(photo, ["make it sepia"], mask=np.zeros((3, 4), np.uint8))


def test_a_mask_is_refused_by_an_editor_that_takes_none(photo, model) -> None:
    mask = np.full((80, 96), 255, np.uint8)
    with pytest.raises(RecipeError, match="takes no mask"):
        edit.edit(photo, ["make it brighter"], editor=str(model), mask=mask)


def test_a_missing_picture_is_named(tmp_path) -> None:
    with pytest.raises(ImageError, match=r"absent\.png"):
        edit.edit(tmp_path / "absent.png", ["make it sepia"])


def test_a_file_that_is_no_picture_is_named(tmp_path) -> None:
    path = tmp_path / "notes.png"
    path.write_text("no picture")
    with pytest.raises(ImageError, match=r"not a picture.*notes\.png"):
        edit.edit(path, ["make it sepia"])


def test_a_place_that_cannot_be_written_to_is_named(photo) -> None:
    with pytest.raises(StoreError, match="cannot write a picture"):
        edit.save_pixels(photo / "inside.png", decode(photo.read_bytes()))


def test_a_reward_of_two_scores_is_refused_in_plain_words(photo, model) -> None:
    with pytest.raises(RecipeError, match=r"reward: a reward is three scores, such as 5,5,5"):
        edit.edit(photo, ["make it brighter"], editor=str(model), reward="5,5")


def test_an_unknown_format_is_refused_before_it_is_written(photo, tmp_path) -> None:
    with pytest.raises(ImageError, match=r"use \.png or \.jpg"):
        edit.save_pixels(tmp_path / "a.bmp", decode(photo.read_bytes()))


def test_the_command_writes_every_turn(photo, tmp_path) -> None:
    out = tmp_path / "out" / "edited.png"
    answer = CliRunner().invoke(
        app, ["edit", str(photo), "make it sepia", "make it brighter", "-o", str(out)]
    )
    assert answer.exit_code == 0, answer.output
    assert [path.name for path in sorted(out.parent.iterdir())] == ["edited-1.png", "edited.png"]
    assert decode(out.read_bytes()).shape == (80, 96, 3)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model with rewards, whose noise changes the edit."""
    made = pocket("reward")
    awake(made)
    folder = tmp_path_factory.mktemp("model")
    save_model(made, folder, {})
    return folder


def run(*arguments):
    answer = CliRunner().invoke(app, ["edit", *map(str, arguments)])
    assert answer.exit_code == 0, answer.output
    return answer.output.split()


def told(path):
    with Image.open(path) as picture:
        return json.loads(picture.info["editloop"])


def test_a_png_says_how_it_was_made(photo, model, tmp_path) -> None:
    out = tmp_path / "edited.png"
    run(photo, "make it brighter", "--editor", model, "--reward", "0,5,5", "--seed", 3, "-o", out)
    facts = told(out)
    assert facts["editor"] == f"diffusion:{model}"
    assert len(facts["fingerprint"]) == 16
    assert facts["instructions"] == ["make it brighter"]
    assert (facts["seed"], facts["settings"]) == (3, {"reward": "0,5,5"})
    assert facts["mask"] is None


def test_what_it_says_leaves_the_pixels_alone_and_is_any_text(tmp_path) -> None:
    pixels = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    edit.save_pixels(tmp_path / "a.png", pixels, {"instruction": "café → ☕"})
    assert np.array_equal(decode((tmp_path / "a.png").read_bytes()), pixels)
    assert told(tmp_path / "a.png") == {"instruction": "café → ☕"}


def test_a_jpeg_says_it_in_its_comment(photo, tmp_path) -> None:
    run(photo, "make it sepia", "-o", tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as picture:
        facts = json.loads(picture.info["comment"])
    assert facts["instructions"] == ["make it sepia"]
    assert decode((tmp_path / "a.jpg").read_bytes()).shape == (80, 96, 3)


def test_a_comment_too_long_for_a_jpeg_is_refused(tmp_path) -> None:
    with pytest.raises(ImageError, match=r"write a \.png file"):
        edit.save_pixels(tmp_path / "a.jpg", np.zeros((8, 8, 3), np.uint8), {"a": "b" * 70_000})


def test_several_seeds_are_files_and_a_sheet_in_a_folder(photo, model, tmp_path) -> None:
    out = tmp_path / "out"
    run(photo, "make it brighter", "--editor", model, "--seed", 5, "--seeds", 2, "-o", out)
    names = [path.name for path in sorted(out.iterdir())]
    assert names == [f"photo-edited-{each}.png" for each in ("seed-5", "seed-6", "sheet")]
    pictures = [decode((out / name).read_bytes()) for name in names]
    assert not np.array_equal(pictures[0], pictures[1])
    assert pictures[2].shape == (80, 3 * 96, 3)
    assert np.array_equal(pictures[2][:, 2 * 96 :], pictures[1])
    assert told(out / names[1])["seed"] == 6


def test_seeds_of_a_session_go_on_from_their_own_pictures(photo, model) -> None:
    turns = ["make it brighter", "make it darker"]
    both = edit.edit_seeds(photo, turns, [1, 2], editor=str(model))
    for seed, session in zip([1, 2], both, strict=True):
        alone = edit.edit(photo, turns, editor=str(model), seed=seed)
        assert all(np.array_equal(*pair) for pair in zip(session, alone, strict=True))


def test_a_sheet_has_four_in_a_row_and_is_small() -> None:
    large = np.zeros((400, 768, 3), np.uint8)
    assert edit.contact_sheet([large] * 5).shape == (2 * 200, 4 * 384, 3)


def test_a_setting_that_an_editor_does_not_have_is_refused_with_those_it_has(photo, model) -> None:
    with pytest.raises(RecipeError, match=r"(?s)darkroom has no setting steps.*its settings: "):
        edit.edit(photo, ["make it sepia"], steps=3)
    with pytest.raises(RecipeError, match=r"(?s)has no setting sped.*image_guidance.*steps"):
        edit.edit(photo, ["make it sepia"], editor=str(model), sped=3)


def test_a_setting_wins_over_the_specs_own(photo, model) -> None:
    spec = f"diffusion:{model}?reward=0,0,0"
    made = edit.edit(photo, ["make it brighter"], editor=spec, reward="5,5,5")[0]
    usual = edit.edit(photo, ["make it brighter"], editor=str(model))[0]
    assert np.array_equal(made, usual)


def test_settings_for_an_editor_that_is_made_are_refused(photo) -> None:
    made = edit.editor_of("darkroom", {})
    with pytest.raises(RecipeError, match="an editor object"):
        edit.edit(photo, ["make it sepia"], editor=made, steps=2)


def test_a_format_is_refused_before_anything_is_edited(photo, tmp_path) -> None:
    answer = CliRunner().invoke(app, ["edit", str(photo), "fly", "-o", str(tmp_path / "a.bmp")])
    assert "cannot write this format" in str(answer.exception)


FILES = ["b.png", "there.png", "IMG 0001.JPG", "./sky", "/home/me/sky", "photos/b.webp", "notes"]


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("among", [(), ("make it sepia",)])
def test_a_file_is_no_instruction_at_any_door(photo, tmp_path, monkeypatch, name, among) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").write_text("a file without a suffix")
    (tmp_path / "there.png").write_bytes(photo.read_bytes())
    for turns in ([name, *among], [*among, name]):
        with pytest.raises(InstructionError, match="is the name of a file"):
            edit.edit(photo, turns)
        result = CliRunner().invoke(app, ["edit", str(photo), *turns])
        assert isinstance(result.exception, InstructionError)
    assert not list(tmp_path.glob("*-edited*"))


def test_a_path_given_as_the_instruction_is_refused(photo) -> None:
    with pytest.raises(InstructionError, match="is the name of a file"):
        edit.edit(photo, photo)


@pytest.mark.parametrize(
    "words",
    ["black/white, please", 'write "photo.png" on the sign', "make it 1.5 stops brighter.", "sky"],
)
def test_words_with_dots_and_slashes_are_instructions(words) -> None:
    edit.check_instructions([words])
