"""What a family does by default: its guidance, steps and size, as its own pipeline has them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import FluxKontextPipeline
from PIL import Image

from editloop.editors.edit import edit
from editloop.editors.flux_kontext import FluxKontextEditor
from editloop.editors.instruct import InstructEditor, InstructSettings
from editloop.errors import RecipeError
from editloop.models.backbones.families import FAMILIES
from editloop.registry import parse_spec
from tiny_baselines import photo_request, save_flux_kontext
from tiny_models import base

pytestmark = pytest.mark.slow

SIZE = {"multiple": 8}  # work at the picture's own size


@pytest.fixture(scope="module")
def kontext(tmp_path_factory):
    return save_flux_kontext(tmp_path_factory.mktemp("kontext"))


def editor(folder, **settings):
    return InstructEditor(InstructSettings(target=str(folder), **settings))


def asked(**changes):
    return photo_request(5, settings={}, **changes)


def apart(first, second):
    return np.abs(first.astype(int) - second.astype(int)).max()


def test_kontext_edits_as_diffusers_pipeline_does_by_default(kontext) -> None:
    pipeline = FluxKontextPipeline.from_pretrained(kontext)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(  # steps, true_cfg_scale and text length are left to the pipeline
        image=Image.fromarray(asked().image),
        prompt=asked().instruction,
        height=32,
        width=48,
        max_area=32 * 48,
        guidance_scale=2.5,  # the model card's; the pipeline's signature has 3.5
        generator=torch.Generator().manual_seed(asked().seed),
        _auto_resize=False,
    ).images[0]
    made = parse_spec(f"diffusion:{kontext}?size=multiple:8", "editor").create("editor")
    assert apart(made.edit([asked()])[0], np.asarray(theirs)) <= 1


def test_both_editors_of_kontext_make_the_same_picture(kontext) -> None:
    other = FluxKontextEditor(FluxKontextEditor.Settings(target=str(kontext), size=SIZE))
    assert apart(editor(kontext, size=SIZE).edit([asked()])[0], other.edit([asked()])[0]) <= 1


def test_kontexts_network_gets_one_row_a_step_unless_guidance_is_asked_for(
    kontext, monkeypatch
) -> None:
    usual = editor(kontext, size=SIZE, steps=2)
    network, rows = usual._pipeline.network, []
    real = network.forward

    def counted(hidden_states, **others):
        rows.append(len(hidden_states))
        return real(hidden_states, **others)

    monkeypatch.setattr(network, "forward", counted)
    usual.edit([asked()])
    assert rows == [1, 1]
    guided = editor(kontext, size=SIZE, steps=1, text_guidance=3.0)
    guided._pipeline = usual._pipeline
    guided.edit([asked()])
    assert rows == [1, 1, 2]


@pytest.mark.parametrize(
    ("name", "family", "expected"),
    [
        ("sd-edit", "sd", (20, 7.5, 1.5, None)),
        ("sdxl-edit", "sdxl", (20, 7.5, 1.5, None)),
        ("flux-kontext", "flux-kontext", (28, 1.0, 1.0, 2.5)),
    ],
)
def test_settings_that_nobody_gives_are_the_familys(tmp_path, name, family, expected) -> None:
    made = editor(base(tmp_path, name))
    found = made.settled({})
    settings = (found.steps, found.text_guidance, found.image_guidance, found.guidance)
    assert (made.family, settings) == (family, expected)
    assert made.settled({"steps": 7}).steps == 7
    assert editor(base(tmp_path, name), steps=3).settled({"steps": 7}).steps == 3


@pytest.mark.parametrize("setting", ["guidance=2.5", "config=someone/else"])
def test_a_setting_that_cannot_act_on_a_model_is_refused(tmp_path, setting) -> None:
    spec = f"diffusion:{base(tmp_path, 'sd-edit')}?{setting}"
    name = setting.partition("=")[0]
    with pytest.raises(RecipeError, match=f"(?s)the setting {name} has no effect .*fix: "):
        edit(asked().image, "make it red", editor=spec)
    editor(base(tmp_path, "flux-kontext"), guidance=2.5).missing()


def test_ultra_edits_settings_are_sd3s() -> None:
    found = FAMILIES["sd3"].editing
    assert (found.steps, found.text_guidance, found.image_guidance) == (50, 7.5, 1.5)
    assert found.largest == 512


@pytest.mark.parametrize(("factor", "size"), [(8, (832, 1248)), (2, (208, 312))])
def test_kontext_works_at_the_nearest_size_it_was_trained_at(kontext, factor, size) -> None:
    made = editor(kontext)
    model = SimpleNamespace(autoencoder=SimpleNamespace(factor=factor))
    assert made.working_size(model, 600, 900, made.settled({})) == size


def test_only_families_that_are_guided_by_branches_drop_conditions() -> None:
    dropout = {name: family.dropout for name, family in FAMILIES.items()}
    assert dropout == {"sd": 0.05, "sdxl": 0.05, "sd3": 0.05, "flux-kontext": 0.0}
