"""One picture edited through the Python call and through the command."""

import numpy as np
import pytest
from typer.testing import CliRunner

from editloop import editing
from editloop.cli import app
from editloop.errors import ImageError, InstructionError
from editloop.images import decode, encode_png


@pytest.fixture
def photo(tmp_path):
    ramp = np.linspace(0, 255, 96 * 80, dtype=np.uint8).reshape(80, 96)
    path = tmp_path / "photo.png"
    path.write_bytes(encode_png(np.dstack([ramp, ramp[::-1], ramp[:, ::-1]])))
    return path


def test_each_instruction_edits_the_last_result(photo) -> None:
    grey, _ = editing.edit(photo, ["make it black and white", "make it brighter"])
    assert grey.shape == (80, 96, 3)
    assert np.ptp(grey.astype(int), axis=2).max() <= 2


def test_an_instruction_that_is_not_understood_says_what_can_be_done(photo) -> None:
    with pytest.raises(InstructionError, match="made no edit at turn 1: make the man smile"):
        editing.edit(photo, ["make the man smile"])


def test_a_mask_of_another_size_is_refused(photo) -> None:
    with pytest.raises(ImageError, match="mask 4x3, picture 96x80"):
        editing.edit(photo, ["make it sepia"], mask=np.zeros((3, 4), np.uint8))


def test_a_missing_picture_is_named(tmp_path) -> None:
    with pytest.raises(ImageError, match=r"absent\.png"):
        editing.edit(tmp_path / "absent.png", ["make it sepia"])


def test_an_unknown_format_is_refused_before_it_is_written(photo, tmp_path) -> None:
    with pytest.raises(ImageError, match=r"name a \.png or \.jpg"):
        editing.save_pixels(tmp_path / "a.bmp", decode(photo.read_bytes()))


def test_the_command_writes_every_turn(photo, tmp_path) -> None:
    out = tmp_path / "out" / "edited.png"
    answer = CliRunner().invoke(
        app, ["edit", str(photo), "make it sepia", "make it brighter", "-o", str(out)]
    )
    assert answer.exit_code == 0, answer.output
    assert [path.name for path in sorted(out.parent.iterdir())] == ["edited-1.png", "edited.png"]
    assert decode(out.read_bytes()).shape == (80, 96, 3)
