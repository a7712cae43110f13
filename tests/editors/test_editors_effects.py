"""A setting that could change nothing is refused, whatever the editor."""

import json

import numpy as np
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from editloop.cli import app
from editloop.editors.edit import edit
from editloop.editors.null_text import NullTextSettings
from editloop.errors import RecipeError
from editloop.images.codec import encode_png
from editloop.models.saving import save_model
from editloop.settings import validate
from editloop.training.diffusion_settings import DiffusionTrainingSettings
from networks import awake, pocket
from tiny_baselines import save_flux_kontext
from tiny_pipelines import save_instruct_pix2pix, save_instruct_pix2pix_xl

# diffusers' samplers hand tensors to NumPy in a way that NumPy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)


def refused(spec: str, setting: str) -> None:
    with pytest.raises(RecipeError, match=f"setting {setting} has no effect") as raised:
        edit(PICTURE, ["make it red"], editor=spec)
    assert raised.value.fix == f"leave out `{setting}`"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return save_instruct_pix2pix(tmp_path_factory.mktemp("sd"))


@pytest.mark.parametrize(
    ("settings", "named"),
    [("guidance=3", "guidance"), ("config=timbrooks/instruct-pix2pix", "config")],
)
def test_what_stable_diffusion_does_not_read_is_refused(plain, settings, named) -> None:
    refused(f"diffusion:{plain}?{settings}", named)


def test_guidance_is_refused_by_the_command_before_anything_is_written(plain, tmp_path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(encode_png(PICTURE))
    spec = f"diffusion:{plain}?guidance=3"
    result = CliRunner().invoke(app, ["edit", str(photo), "make it red", "--editor", spec])
    assert isinstance(result.exception, RecipeError)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_guidance_is_an_input_of_distilled_networks_alone(tmp_path) -> None:
    refused(f"diffusion:{save_instruct_pix2pix_xl(tmp_path / 'xl')}?guidance=3", "guidance")
    kontext = save_flux_kontext(tmp_path / "kontext")
    place = kontext / "transformer" / "config.json"
    config = json.loads(place.read_text())
    assert config["guidance_embeds"]
    place.write_text(json.dumps({**config, "guidance_embeds": False}))
    refused(f"diffusion:{kontext}?guidance=3", "guidance")
    refused(f"flux-kontext:{kontext}?guidance=3", "guidance")


def test_a_reward_text_that_nothing_reads_is_refused(tmp_path) -> None:
    for name, conditions in (("plain", ()), ("rewards", ("reward",))):
        made = pocket(*conditions)
        awake(made)
        save_model(made, tmp_path / name, {})
    with pytest.raises(RecipeError, match="trained without rewards"):
        edit(PICTURE, ["make it red"], editor=f"{tmp_path / 'plain'}?reward_text=bad;None;None")
    refused(f"{tmp_path / 'rewards'}?reward=none&reward_text=bad;None;None", "reward_text")


def test_an_end_of_iterations_that_are_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="`enough` has no effect"):
        NullTextSettings(target="x", iterations=0, enough=1e-4)


@pytest.mark.parametrize(
    ("setting", "others"),
    [
        ("soft_masks", {"soft_masks": [0.2, 0.8]}),
        ("side_words", {"side_words": ["x"], "flip": False}),
    ],
)
def test_what_training_would_not_read_is_refused(setting, others) -> None:
    with pytest.raises(RecipeError, match=f"{setting} has no effect"):
        validate(DiffusionTrainingSettings, {"base": "x", **others}, where="train")
