"""Stable Diffusion 1.x, 2.x and XL: a UNet with further input channels and conditions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import nn

from editloop.errors import RecipeError
from editloop.models.backbones.autoencoder import Autoencoder
from editloop.models.backbones.denoisers import UNetDenoiser
from editloop.models.backbones.families import family_of, pipeline_class_of
from editloop.models.backbones.lora import add_lora
from editloop.models.backbones.model import DiffusionModel
from editloop.models.backbones.texts import ClipPairTexts, ClipTexts
from editloop.models.backbones.wanted import Wanted
from editloop.models.backbones.widening import widened
from editloop.models.channels import ChannelCondition
from editloop.models.loading import DTYPES, load_pipeline
from editloop.models.reward import reward_condition
from editloop.models.schedules import diffusion_levels
from editloop.models.wrapper import UNetShape

__all__ = ["load_stable_diffusion", "of_pipeline"]


def load_stable_diffusion(base: str, folder: Path, wanted: Wanted) -> DiffusionModel:
    """The model in a folder, which was found by the name `base`; errors as of `load_pipeline`."""
    made: Any = getattr(diffusers, pipeline_class_of(folder))
    options = {"add_watermarker": False} if family_of(folder).name == "sdxl" else {}
    pipeline = load_pipeline(made, folder, wanted.loaded_in, **options)
    return of_pipeline(pipeline, base, folder, wanted)


def of_pipeline(pipeline: Any, base: str, folder: Path, wanted: Wanted) -> DiffusionModel:
    """The model of a loaded pipeline; its UNet is widened for what is wanted."""
    dtype = DTYPES[wanted.precision]
    unet, vae = pipeline.unet, pipeline.vae.requires_grad_(False).to(dtype)
    autoencoder = Autoencoder(vae)
    _make_room(unet, autoencoder.channels, folder, wanted)
    model = DiffusionModel(
        family=family_of(folder),
        base=base,
        folder=folder,
        autoencoder=autoencoder,
        texts=_texts(pipeline, dtype),
        denoiser=UNetDenoiser(unet, _conditions(unet, wanted), autoencoder.factor),
        scheduler=pipeline.scheduler,
        levels=diffusion_levels(pipeline.scheduler),
        conditions=wanted.conditions,
        reward=wanted.reward,
        lora=wanted.lora,
    )
    if wanted.lora is not None:
        grown = (unet.conv_in,) if unet.conv_in.weight.requires_grad else ()
        add_lora(unet, wanted.lora, grown, seed=wanted.seed)
    model.denoiser.to(pipeline.device)
    return model


def _make_room(unet: Any, latents: int, folder: Path, wanted: Wanted) -> None:
    """Widen the UNet's first layer; under LoRA, what is not new stays frozen."""
    channels = latents * (3 if "mask" in wanted.conditions else 2)
    before = unet.conv_in
    if before.in_channels not in (latents, 2 * latents, channels):
        raise RecipeError(
            f"a UNet of {before.in_channels} input channels cannot be given "
            f"{' and '.join(wanted.conditions)}",
            value=folder,
            fix=f"name a base with {latents} or {2 * latents} input channels"
            + (", or add mask to the conditions" if before.in_channels == 3 * latents else ""),
        )
    if wanted.lora is not None:
        unet.requires_grad_(False)
    unet.conv_in = widened(before, channels, wanted.new_weights, wanted.seed)
    unet.register_to_config(in_channels=channels)


def _texts(pipeline: Any, dtype: torch.dtype) -> ClipTexts | ClipPairTexts:
    first = pipeline.text_encoder.requires_grad_(False).to(dtype)
    if not hasattr(pipeline, "text_encoder_2"):
        return ClipTexts(pipeline.tokenizer, first)
    second = pipeline.text_encoder_2.requires_grad_(False).to(dtype)
    return ClipPairTexts(
        (pipeline.tokenizer, pipeline.tokenizer_2),
        (first, second),
        blank_is_zero=bool(pipeline.config.force_zeros_for_empty_prompt),
    )


def _conditions(unet: Any, wanted: Wanted) -> dict[str, nn.Module]:
    made: dict[str, nn.Module] = {"source": ChannelCondition()}
    if "mask" in wanted.conditions:
        made["mask"] = ChannelCondition()
    if "reward" in wanted.conditions and wanted.reward is not None:
        with torch.random.fork_rng(devices=()):  # torch draws initial weights from global state
            torch.manual_seed(wanted.seed)
            made["reward"] = reward_condition(wanted.reward, UNetShape.of(unet))
    return made
