"""The editor's lossy mode: off by default, named in fingerprint and metadata when it is on."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from editloop.cli import app
from editloop.editors.edit import edit
from editloop.errors import RecipeError
from editloop.images.codec import decode, encode_png
from editloop.models.saving import save_model
from editloop.registry import parse_spec
from networks import pocket
from tiny_pipelines import save_instruct_pix2pix

# diffusers' samplers hand tensors to NumPy in a way that NumPy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
OWN = "steps=4&size=multiple:8"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_instruct_pix2pix(tmp_path_factory.mktemp("sd"))


def edited(folder, **settings):
    return edit(PICTURE, ["make it red"], editor=f"diffusion:{folder}?{OWN}", **settings)[0]


def test_none_is_the_default(folder) -> None:
    assert np.array_equal(edited(folder), edited(folder, acceleration="none"))


def test_reused_guidance_is_another_picture(folder) -> None:
    assert not np.array_equal(edited(folder), edited(folder, acceleration="reused-guidance"))


def test_with_one_branch_it_is_the_same_picture(folder) -> None:
    one = {"text_guidance": 1, "image_guidance": 1}
    assert np.array_equal(
        edited(folder, **one), edited(folder, **one, acceleration="reused-guidance")
    )


def test_the_fingerprint_is_another_one(folder) -> None:
    usual, lossy = (
        parse_spec(f"diffusion:{folder}?{OWN}{more}", "editor").create("editor").fingerprint
        for more in ("", "&acceleration=reused-guidance")
    )
    assert usual != lossy


def test_the_command_names_it_in_the_metadata(folder, tmp_path) -> None:
    photo, out = tmp_path / "photo.png", tmp_path / "out.png"
    photo.write_bytes(encode_png(PICTURE))
    spec = f"diffusion:{folder}?{OWN}"
    asked = ["edit", photo, "make it red", "--editor", spec, "-o", out]
    answer = CliRunner().invoke(app, [*map(str, asked), "--acceleration", "reused-guidance"])
    assert answer.exit_code == 0, answer.output
    with Image.open(out) as picture:
        facts = json.loads(picture.info["editloop"])
    assert facts["settings"]["acceleration"] == "reused-guidance"
    lossy = edited(folder, acceleration="reused-guidance")
    assert np.array_equal(decode(out.read_bytes()), lossy)


def test_an_unknown_one_is_refused_with_those_there_are(folder) -> None:
    with pytest.raises(RecipeError, match=r"(?s)acceleration.*reused-guidance"):
        edited(folder, acceleration="warp")


def test_a_pocket_model_has_none(tmp_path) -> None:
    save_model(pocket(), tmp_path, {})
    with pytest.raises(RecipeError, match="unknown key: acceleration"):
        edit(PICTURE, ["make it red"], editor=str(tmp_path), acceleration="reused-guidance")
