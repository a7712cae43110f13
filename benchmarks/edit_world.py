"""An InstructPix2Pix in Stable Diffusion 1.5's true size with random weights, and a picture."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    EulerAncestralDiscreteScheduler,
    StableDiffusionInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel

from editloop.editors.edit import read_pixels, save_pixels
from editloop.images.codec import resize
from evaluate_world import letter_tokenizer

__all__ = ["INSTRUCTION", "make_model", "make_picture"]

INSTRUCTION = "make it look like a winter night"
_PHOTO = Path(__file__).parents[1] / "docs" / "pictures" / "coffee.jpg"
_WIDTHS = (320, 640, 1280, 1280)
_CROSS = ("CrossAttnDownBlock2D",) * 3
_CROSS_UP = ("CrossAttnUpBlock2D",) * 3


def make_model(folder: Path) -> Path:
    """Write a pipeline's folder in float16, with all weights random, also the source channels'."""
    torch.manual_seed(0)
    tokenizer = letter_tokenizer()
    StableDiffusionInstructPix2PixPipeline(
        vae=_autoencoder(),
        text_encoder=_text_encoder(tokenizer),
        tokenizer=tokenizer,
        unet=_unet(),
        scheduler=EulerAncestralDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).to(torch.float16).save_pretrained(folder)
    return folder


def make_picture(path: Path, side: int) -> Path:
    """Return a photograph at the given size."""
    save_pixels(path, resize(read_pixels(_PHOTO), side, side))
    return path


def _unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=64,
        in_channels=8,
        out_channels=4,
        block_out_channels=_WIDTHS,
        layers_per_block=2,
        down_block_types=(*_CROSS, "DownBlock2D"),
        up_block_types=("UpBlock2D", *_CROSS_UP),
        cross_attention_dim=768,
        attention_head_dim=8,
    )


def _autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
    )


def _text_encoder(tokenizer: object) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            hidden_size=768,
            intermediate_size=3072,
            num_attention_heads=12,
            num_hidden_layers=12,
            max_position_embeddings=77,
            bos_token_id=tokenizer.bos_token_id,  # type: ignore[attr-defined]
            eos_token_id=tokenizer.eos_token_id,  # type: ignore[attr-defined]
            pad_token_id=tokenizer.pad_token_id,  # type: ignore[attr-defined]
        )
    )
