"""Stable Diffusion 1.x, 2.x and XL: a UNet with extra input channels and conditions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import nn

from editloop.errors import RecipeError
from editloop.models.backbones.autoencoder import Autoencoder
from editloop.models.backbones.base_request import Wanted
from editloop.models.backbones.denoisers import UNetDenoiser
from editloop.models.backbones.extra_channels import with_room
from editloop.models.backbones.families import family_of, pipeline_class_of
from editloop.models.backbones.freezing import frozen
from editloop.models.backbones.lora import add_lora
from editloop.models.backbones.model import DiffusionModel
from editloop.models.backbones.texts import ClipPairTexts, ClipTexts
from editloop.models.channels import ChannelCondition
from editloop.models.pipeline_loading import DTYPES, load_pipeline, model_index
from editloop.models.reward import reward_condition
from editloop.models.schedules import diffusion_levels
from editloop.models.wrapper import UNetShape

__all__ = ["load_stable_diffusion", "of_pipeline", "texts_of"]


def load_stable_diffusion(base: str, folder: Path, wanted: Wanted) -> DiffusionModel:
    """Load the model in the folder of the base named `base`; errors as in `load_pipeline`."""
    made: Any = getattr(diffusers, pipeline_class_of(folder))
    options: dict[str, Any] = {"outlined": wanted.outlined}
    if family_of(folder).name == "sdxl":
        options["add_watermarker"] = False
    pipeline = load_pipeline(made, folder, wanted.loaded_in, **options)
    return of_pipeline(pipeline, base, folder, wanted)


def of_pipeline(pipeline: Any, base: str, folder: Path, wanted: Wanted) -> DiffusionModel:
    """Return the model of a loaded pipeline; its UNet is widened for the wanted conditions."""
    dtype = DTYPES[wanted.precision]
    if wanted.trained:
        _check_levels(pipeline.scheduler, folder)
    scaled = bool(model_index(folder).get("is_cosxl_edit"))  # CosXL takes its source scaled
    unet, autoencoder = pipeline.unet, Autoencoder.of(pipeline.vae, dtype, scales_sources=scaled)
    if wanted.lora is not None:
        unet.requires_grad_(False)
    unet.conv_in = with_room(unet.conv_in, autoencoder.channels, folder, wanted)
    unet.register_to_config(in_channels=unet.conv_in.in_channels)
    model = DiffusionModel(
        family=family_of(folder),
        base=base,
        folder=folder,
        autoencoder=autoencoder,
        texts=texts_of(pipeline, dtype),
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


def _check_levels(scheduler: Any, folder: Path) -> None:
    if "beta_schedule" not in scheduler.config:
        raise RecipeError(
            f"training with this scheduler is not supported: {type(scheduler).__name__}",
            value=folder,
            fix="use a base whose scheduler has betas, like Stable Diffusion's",
        )


def texts_of(pipeline: Any, dtype: torch.dtype) -> ClipTexts | ClipPairTexts:
    """Return a pipeline's tokenizers and text encoders, frozen in `dtype`."""
    first = frozen(pipeline.text_encoder, dtype)
    if not hasattr(pipeline, "text_encoder_2"):
        return ClipTexts(pipeline.tokenizer, first)
    second = frozen(pipeline.text_encoder_2, dtype)
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
        with torch.random.fork_rng(devices=()):  # initialised from torch's global random state
            torch.manual_seed(wanted.seed)
            made["reward"] = reward_condition(wanted.reward, UNetShape.of(unet))
    return made
