"""Models trained with EditLoop give the same picture in plain diffusers, for a seed."""

import numpy as np
import pytest
import torch
from diffusers import (
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionXLInstructPix2PixPipeline,
)
from PIL import Image

from editloop.editors.edit import edit
from editloop.models.backbones.saving import save_diffusion_model
from editloop.runtime.seeding import generator
from tiny_models import LORA, base, learned, model_of

PIPELINES = {
    "sd": StableDiffusionInstructPix2PixPipeline,
    "sdxl": StableDiffusionXLInstructPix2PixPipeline,
    "sd-edit": StableDiffusionInstructPix2PixPipeline,
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "lora"), [("sd", None), ("sdxl", None), ("sd-edit", LORA)])
def test_the_export_gives_the_same_picture_in_plain_diffusers(tmp_path, name, lora) -> None:
    model = learned(model_of(tmp_path, name, lora=lora, new_weights="random"))
    save_diffusion_model(model, tmp_path / "export", {"training": {"size": 32}})
    whole = tmp_path / "export" if lora is None else base(tmp_path, name)
    plain = PIPELINES[name].from_pretrained(whole, local_files_only=True)
    if lora is not None:
        plain.load_lora_weights(tmp_path / "export")
    plain.set_progress_bar_config(disable=True)
    pixels = generator("picture").integers(0, 256, (32, 32, 3), dtype=np.uint8)
    theirs = plain(
        "make it red",
        image=Image.fromarray(pixels),
        num_inference_steps=3,
        guidance_scale=7.5,
        image_guidance_scale=1.5,
        generator=torch.Generator().manual_seed(4),
    ).images[0]
    spec = f"diffusion:{tmp_path / 'export'}?size=multiple:8"
    (ours,) = edit(pixels, "make it red", editor=spec, steps=3, seed=4)
    assert np.abs(ours.astype(int) - np.asarray(theirs).astype(int)).max() <= 1
