"""Stable Diffusion 1.5's networks in true size, with torch's random initial weights.

Only settings that differ from the defaults of diffusers' and transformers' classes are given.
"""

from __future__ import annotations

from typing import Any

from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

__all__ = ["autoencoder", "schedule", "text_encoder", "unet"]

_WIDTH = 768  # width of the text embeddings


def unet(in_channels: int = 4) -> UNet2DConditionModel:
    """Make the denoiser; with 8 channels, InstructPix2Pix's."""
    return UNet2DConditionModel(in_channels=in_channels, sample_size=64, cross_attention_dim=_WIDTH)


def autoencoder() -> AutoencoderKL:
    """Make the autoencoder, whose latents are 8 times smaller in each direction."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        sample_size=512,
    )


def text_encoder(tokenizer: Any) -> CLIPTextModel:
    """Make the text encoder of CLIP ViT-L/14, for a tokenizer of its size."""
    config = CLIPTextConfig(
        hidden_size=_WIDTH,
        intermediate_size=4 * _WIDTH,
        num_attention_heads=12,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def schedule() -> dict[str, Any]:
    """Return the noise schedule as settings for diffusers' schedulers."""
    return {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "steps_offset": 1,
    }
