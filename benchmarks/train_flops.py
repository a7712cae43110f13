"""FLOPs of a training step, counted on torch's meta device without computing anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel

__all__ = ["flops_of", "step_flops"]

_BACKWARD = 3  # forward and backward pass cost 3 forward passes


def flops_of(base: Path, size: int) -> dict[str, int]:
    """Return the FLOPs of one forward pass of each network of a pipeline, for one picture.

    A multiply-add counts as 2.
    """
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel.from_config(
            {**UNet2DConditionModel.load_config(base, subfolder="unet"), "in_channels": 8}
        )
        vae: Any = AutoencoderKL.from_config(AutoencoderKL.load_config(base, subfolder="vae"))
        config = CLIPTextConfig.from_pretrained(base, subfolder="text_encoder")
        text = CLIPTextModel(config)
        length, side = config.max_position_embeddings, size // _factor(vae)
        noisy, pixels = torch.empty(1, 8, side, side), torch.empty(1, 3, size, size)
        hidden = torch.empty(1, length, config.hidden_size)
        ids = torch.zeros(1, length, dtype=torch.long)
        return {
            "unet": _counted(lambda: unet(noisy, torch.zeros(1), hidden)),
            "encoder": _counted(lambda: vae.encode(pixels)),
            "text": _counted(lambda: text(ids)),
        }


def step_flops(flops: Mapping[str, int], batch: int, pictures: float, texts: float) -> float:
    """Return the FLOPs of a step that trains on a batch and encodes some pictures and texts."""
    trained = _BACKWARD * batch * flops["unet"]
    return trained + pictures * flops["encoder"] + texts * flops["text"]


def _factor(vae: Any) -> int:
    return int(2 ** (len(vae.config.block_out_channels) - 1))


@torch.no_grad()
def _counted(call: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())
