"""Adapters against their pipelines called directly, as diffusers documents them."""

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMInverseScheduler,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FluxKontextPipeline,
    LEditsPPPipelineStableDiffusion,
    LEditsPPPipelineStableDiffusionXL,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
)
from diffusers.pipelines.deprecated import StableDiffusionDiffEditPipeline
from PIL import Image

from editloop.editors.diffedit import DiffEditEditor
from editloop.editors.flux_kontext import FluxKontextEditor
from editloop.editors.inpainting import InpaintEditor
from editloop.editors.leditspp import LeditsEditor
from editloop.editors.sdedit import SDEditEditor
from tiny_baselines import (
    deep_unet,
    photo_request,
    save_flux_kontext,
    save_stable_diffusion,
    save_stable_diffusion_xl,
)
from tiny_pipelines import tiny_unet

TARGET = "a photo of a dog"
# diffusers' multistep scheduler makes an array of a tensor in a way that NumPy 2 deprecates.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("pipelines")
    return {
        4: save_stable_diffusion(base / "sd", deep_unet()),
        9: save_stable_diffusion(base / "painting", tiny_unet(9)),
        "xl": save_stable_diffusion_xl(base / "xl"),
        "flux": save_flux_kontext(base / "flux"),
    }


def asked(**changes):
    """At the working size already, so no resizing comes between."""
    mask = np.zeros((32, 48), np.uint8)
    mask[8:24, 16:40] = 255
    return photo_request(7, mask=mask, **changes)


def plain(made, folder):
    pipeline = made.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def check_same(editor, wanted, request=None) -> None:
    answer = editor.edit([request or asked()])[0].astype(int)
    assert np.abs(answer - np.asarray(wanted)).max() <= 1


@pytest.mark.parametrize(
    ("made", "folder"),
    [(StableDiffusionImg2ImgPipeline, 4), (StableDiffusionXLImg2ImgPipeline, "xl")],
)
def test_sdedit_is_the_image_to_image_pipeline(folders, made, folder) -> None:
    wanted = plain(made, folders[folder])(
        prompt=TARGET,
        image=Image.fromarray(asked().image),
        strength=0.75,
        num_inference_steps=4,
        guidance_scale=5.0,
        generator=seeded(),
    ).images[0]
    settings = SDEditEditor.Settings(
        target=str(folders[folder]), strength="0.75", text_guidance="5"
    )
    check_same(SDEditEditor(settings), wanted)


@pytest.mark.parametrize(
    ("made", "folder"),
    [
        (StableDiffusionInpaintPipeline, 4),
        (StableDiffusionInpaintPipeline, 9),
        (StableDiffusionXLInpaintPipeline, "xl"),
    ],
)
def test_inpaint_is_the_inpainting_pipeline(folders, made, folder) -> None:
    wanted = plain(made, folders[folder])(
        prompt=TARGET,
        image=Image.fromarray(asked().image),
        mask_image=Image.fromarray(asked().mask),
        height=32,
        width=48,
        strength=1.0,
        num_inference_steps=4,
        guidance_scale=7.5,
        generator=seeded(),
    ).images[0]
    check_same(InpaintEditor(InpaintEditor.Settings(target=str(folders[folder]))), wanted)


def test_diffedit_is_its_pipeline_in_three_calls(folders) -> None:
    pipeline = plain(StableDiffusionDiffEditPipeline, folders[4])
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    pipeline.inverse_scheduler = DDIMInverseScheduler.from_config(pipeline.scheduler.config)
    image, random = Image.fromarray(asked().image), seeded()
    mask = pipeline.generate_mask(
        image=image,
        source_prompt="a photo of a cat",
        target_prompt=TARGET,
        num_inference_steps=4,
        generator=random,
    )
    assert 0 < mask.mean() < 1
    latents = pipeline.invert(
        prompt="", image=image, num_inference_steps=4, guidance_scale=1.0, generator=random
    ).latents
    wanted = pipeline(
        prompt=TARGET, mask_image=mask, image_latents=latents, num_inference_steps=4
    ).images[0]
    check_same(DiffEditEditor(DiffEditEditor.Settings(target=str(folders[4]))), wanted)


def test_diffedit_without_a_source_caption_looks_against_the_empty_text(folders) -> None:
    made = DiffEditEditor(DiffEditEditor.Settings(target=str(folders[4])))
    captions = type(asked().captions)
    none, empty, some = made.edit(
        [asked(captions=captions(source, TARGET)) for source in (None, "", "a photo of a cat")]
    )
    assert np.array_equal(none, empty)
    assert not np.array_equal(none, some)


@pytest.mark.parametrize(
    ("made", "folder"),
    [(LEditsPPPipelineStableDiffusion, 4), (LEditsPPPipelineStableDiffusionXL, "xl")],
)
def test_ledits_is_its_pipeline_in_two_calls(folders, made, folder) -> None:
    pipeline = plain(made, folders[folder])
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, algorithm_type="sde-dpmsolver++", solver_order=2
    )
    random = seeded()
    pipeline.invert(
        image=Image.fromarray(asked(height=32, width=64).image),
        num_inversion_steps=6,
        skip=0.2,
        generator=random,
    )
    wanted = pipeline(
        editing_prompt=[TARGET], edit_guidance_scale=6.0, edit_threshold=0.75, generator=random
    ).images[0]
    settings = LeditsEditor.Settings(
        target=str(folders[folder]), inversion_steps=6, skip=0.2, edit_guidance=6, threshold=0.75
    )
    check_same(LeditsEditor(settings), wanted, asked(height=32, width=64))


def test_ledits_works_at_multiples_of_32(folders) -> None:
    made = LeditsEditor(LeditsEditor.Settings(target=str(folders[4]), inversion_steps=2))
    assert made.edit([photo_request(height=40, width=56)])[0].shape == (40, 56, 3)


def test_flux_kontext_is_its_pipeline(folders) -> None:
    wanted = plain(FluxKontextPipeline, folders["flux"])(
        image=Image.fromarray(asked().image),
        prompt=asked().instruction,
        height=32,
        width=48,
        max_area=32 * 48,
        num_inference_steps=4,
        guidance_scale=2.5,
        max_sequence_length=16,
        generator=seeded(),
        _auto_resize=False,
    ).images[0]
    settings = FluxKontextEditor.Settings(target=str(folders["flux"]), text_length=16)
    check_same(FluxKontextEditor(settings), wanted)
