"""Reference pictures reach the editors that take some; all others refuse them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Pillow
from typer.testing import CliRunner

from editloop.cli import app
from editloop.editors import edit
from editloop.editors.requests import UNSEEN
from editloop.errors import RecipeError
from editloop.images.codec import content_hash, decode, encode_png
from editloop.images.files import read_pixels
from editloop.kernel.steps import Drop, Keep, StepContext
from editloop.kernel.tasks import StepSpec
from editloop.schema import EditSample, Image

SEEN: list[int] = []
ADDING = f"python:{__name__}:Adding"
BLIND = f"python:{__name__}:Blind"


class Adding:
    """Adds the first value of each reference to the picture."""

    name, fingerprint, uses_references = "adding", "adding-1", True

    def edit(self, requests):
        SEEN.extend(len(each.references) for each in requests)
        return [
            each.image + sum(int(further[0, 0, 0]) for further in each.references)
            for each in requests
        ]


class Blind(Adding):
    """Takes no references."""

    name, uses_references = "blind", False


@pytest.fixture(autouse=True)
def _counted():
    SEEN.clear()


def grey(level: int, side: int = 8) -> bytes:
    return encode_png(np.full((side, side, 3), level, np.uint8))


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name, data in {
        "photos/a.png": grey(10),
        "photos/b.png": grey(20),
        "cup.png": grey(3, 5),
        "hat.png": grey(4, 90),
    }.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def run(*words: str):
    return CliRunner().invoke(app, ["edit", *words])


def test_the_command_gives_them_to_every_turn_and_records_them(files) -> None:
    words = ["photos/a.png", "add the cup", "and the hat", "--editor", ADDING, "-o", "out.png"]
    both = [*words, "--reference", "cup.png", "--reference", "hat.png"]
    assert run(*both).exit_code == 0
    assert (read_pixels(files / "out.png") == 10 + 2 * 7).all()
    with Pillow.open("out.png") as picture:
        facts = json.loads(picture.info["editloop"])
    assert facts["references"] == [content_hash(grey(3, 5)), content_hash(grey(4, 90))]
    SEEN.clear()
    assert run(*both).exit_code == 0
    assert not SEEN  # recorded as the same edit
    assert run(*both[:-2]).exit_code == 0
    assert SEEN == [1, 1]


def test_the_command_gives_them_to_several_pictures(files) -> None:
    done = run("photos", "add it", "--editor", ADDING, "--reference", "cup.png", "-o", "out")
    assert done.exit_code == 0, done.output
    assert (read_pixels(files / "out" / "b-edited.png") == 23).all()


@pytest.mark.slow
@pytest.mark.parametrize("picture", ["photos", "photos/a.png"])
@pytest.mark.parametrize("editor", ["darkroom", BLIND])
def test_an_editor_that_takes_none_refuses_them_with_the_way(files, picture, editor) -> None:
    refused = run(picture, "make it night", "--editor", editor, "--reference", "cup.png", "-o", "o")
    assert refused.exit_code == 1
    assert isinstance(refused.exception, RecipeError)
    assert "takes no reference pictures" in str(refused.exception)
    assert "qwen-image-edit:MODEL" in str(refused.exception)
    assert not (files / "o").exists()


def test_the_python_call_takes_arrays_and_paths(files) -> None:
    further = [files / "cup.png", np.full((2, 2, 3), 5, np.uint8)]
    (made,) = edit.edit(files / "photos" / "a.png", "add both", editor=ADDING, references=further)
    assert (made == 18).all()
    with pytest.raises(RecipeError, match="takes no reference pictures"):
        edit.edit(files / "photos" / "a.png", "make it night", references=further)


def test_the_step_drops_what_its_editor_would_not_see() -> None:
    plain = EditSample("a", Image(grey(10)), "add the cup")
    samples = [plain, replace(plain, id="b", references=(Image(grey(3)),))]
    for editor, changed in ((ADDING, 13), (BLIND, None)):
        step = StepSpec("build", "edit", "edit", {"editor": editor}).create()
        step.setup(StepContext(3, "train"))
        _, outcome = step.process(samples)
        if changed is None:
            assert outcome == Drop(UNSEEN)
        else:
            assert isinstance(outcome, Keep)
            assert decode(outcome.samples[0].target.bytes).max() == changed
