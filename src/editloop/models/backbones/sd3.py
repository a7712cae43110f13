"""Stable Diffusion 3 and 3.5: a transformer with a source's and mask's latents as extra channels.

The channels are in the order of UltraEdit's released models: noisy, source, mask. Those models take
unscaled encoder latents of source and mask, are trained on latents that are scaled without a shift,
and use 77 T5 tokens. diffusers' community pipeline of the same name shifts and scales sources like
the training latents and uses 256 tokens; so do models trained here from Stable Diffusion 3.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusion3Pipeline
from torch import Tensor

from editloop.models.backbones.autoencoder import Autoencoder
from editloop.models.backbones.base_loading import trained_index
from editloop.models.backbones.base_request import Wanted
from editloop.models.backbones.denoisers import Denoiser, Given
from editloop.models.backbones.extra_channels import with_room
from editloop.models.backbones.families import family_of, pipeline_class_of
from editloop.models.backbones.flow import start_flow
from editloop.models.backbones.freezing import frozen
from editloop.models.backbones.lora import JOINT_LAYERS, add_lora
from editloop.models.backbones.model import DiffusionModel
from editloop.models.backbones.texts import T5Reader, TripleTexts
from editloop.models.pipeline_loading import DTYPES, load_pipeline, model_index
from editloop.models.schedules import flow_levels

__all__ = ["SD3Denoiser", "load_sd3"]

_T5 = ("text_encoder_3", "tokenizer_3")
_TEXT, _RELEASED_TEXT = 256, 77  # T5 tokens, as in the pipelines


class SD3Denoiser(Denoiser):
    """`SD3Transformer2DModel` with source and mask as extra channels."""

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.transformer = transformer
        self.patch = transformer.config.patch_size

    @property
    def network(self) -> Any:
        return self.transformer

    def forward(self, noisy: Tensor, timestep: Tensor, given: Given) -> Tensor:
        """Return the output [batch, c, h, w] for noisy latents [batch, c, h, w]."""
        pictures = [noisy, given.source] + ([] if given.mask is None else [given.mask])
        output: Tensor = self.transformer(
            hidden_states=torch.cat([each.to(noisy.dtype) for each in pictures], dim=1),
            timestep=timestep,
            encoder_hidden_states=given.text.hidden.to(noisy.dtype),
            pooled_projections=given.text.pooled.to(noisy.dtype),
            return_dict=False,
        )[0]
        return output

    def start(self, scheduler: Any, steps: int, tokens: int, device: torch.device) -> None:
        start_flow(scheduler, steps, tokens, device)


def load_sd3(base: str, folder: Path, wanted: Wanted) -> DiffusionModel:
    """Load the model in the folder of the base named `base`; errors as in `load_pipeline`."""
    options: dict[str, Any] = {"outlined": wanted.outlined}
    if model_index(folder).get(_T5[0], [None])[0] is None:
        options |= dict.fromkeys(_T5)
    pipeline = load_pipeline(StableDiffusion3Pipeline, folder, wanted.loaded_in, **options)
    transformer, dtype = pipeline.transformer, DTYPES[wanted.precision]
    ours = not _is_as_released(folder)
    autoencoder = Autoencoder.of(pipeline.vae, dtype, scales_sources=ours, shifts=ours)
    first = transformer.pos_embed
    if wanted.lora is not None:
        transformer.requires_grad_(False)
    first.proj = with_room(first.proj, autoencoder.channels, folder, wanted)
    transformer.register_to_config(
        in_channels=first.proj.in_channels, out_channels=transformer.out_channels
    )
    if wanted.lora is not None:
        grown = (first.proj,) if first.proj.weight.requires_grad else ()
        add_lora(transformer, wanted.lora, grown, layers=JOINT_LAYERS, seed=wanted.seed)
    return DiffusionModel(
        family=family_of(folder),
        base=base,
        folder=folder,
        autoencoder=autoencoder,
        texts=_texts(pipeline, dtype, _TEXT if ours else _RELEASED_TEXT),
        denoiser=SD3Denoiser(transformer),
        scheduler=pipeline.scheduler,
        levels=flow_levels(pipeline.scheduler),
        conditions=wanted.conditions,
        lora=wanted.lora,
    )


def _is_as_released(folder: Path) -> bool:
    """Return whether a model was trained like UltraEdit: its release, or one trained from it."""
    before = trained_index(folder)
    if before is not None:
        return not before["scales_sources"]
    return pipeline_class_of(folder) != "StableDiffusion3Pipeline"


def _texts(pipeline: Any, dtype: torch.dtype, length: int) -> TripleTexts:
    long = pipeline.text_encoder_3
    return TripleTexts(
        tokenizers=(pipeline.tokenizer, pipeline.tokenizer_2),
        encoders=(frozen(pipeline.text_encoder, dtype), frozen(pipeline.text_encoder_2, dtype)),
        t5=None if long is None else T5Reader(pipeline.tokenizer_3, frozen(long, dtype), length),
        width=pipeline.transformer.config.joint_attention_dim,
        length=length,
    )
