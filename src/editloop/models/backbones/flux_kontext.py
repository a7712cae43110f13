"""FLUX.1 Kontext: a transformer that gets the source's tokens after the noisy picture's.

Black Forest Labs, "FLUX.1 Kontext: Flow Matching for In-Context Image Generation and Editing in
Latent Space" (2025). A token is a square of 2 x 2 latents; its position is the index of its picture
(noisy 0, source 1), its row and its column.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import FluxKontextPipeline
from torch import Tensor
from torch.nn import functional

from editloop.models.backbones.autoencoder import Autoencoder
from editloop.models.backbones.base_request import Wanted
from editloop.models.backbones.denoisers import Denoiser, Given
from editloop.models.backbones.families import family_of
from editloop.models.backbones.flow import start_flow
from editloop.models.backbones.freezing import frozen
from editloop.models.backbones.lora import JOINT_LAYERS, add_lora
from editloop.models.backbones.model import DiffusionModel
from editloop.models.backbones.texts import ClipT5Texts, T5Reader
from editloop.models.pipeline_loading import DTYPES, load_pipeline
from editloop.models.schedules import flow_levels

__all__ = ["FluxDenoiser", "load_flux_kontext"]

_TEXT = 512  # T5 tokens, as in diffusers' pipeline
_TRAINING_GUIDANCE = 1.0  # input of the distilled network during training
_TIMESTEPS = 1000  # the network's input is timestep / 1000


class FluxDenoiser(Denoiser):
    """`FluxTransformer2DModel`, from latents to latents."""

    patch = 2

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.transformer = transformer

    @property
    def network(self) -> Any:
        return self.transformer

    def forward(self, noisy: Tensor, timestep: Tensor, given: Given) -> Tensor:
        """Return the output [batch, c, h, w] for noisy latents [batch, c, h, w]; h, w are even."""
        height, width = (side // self.patch for side in noisy.shape[-2:])
        tokens = [self._packed(each.to(noisy.dtype)) for each in (noisy, given.source)]
        places = [_places(picture, height, width, noisy.device) for picture in (0, 1)]
        text = given.text.hidden.to(noisy.dtype)
        output: Tensor = self.transformer(
            hidden_states=torch.cat(tokens, dim=1),
            timestep=timestep.to(noisy.dtype) / _TIMESTEPS,
            guidance=self._guidance(given, noisy),
            pooled_projections=given.text.pooled.to(noisy.dtype),
            encoder_hidden_states=text,
            txt_ids=text.new_zeros(text.shape[1], 3),
            img_ids=torch.cat(places).float(),
            return_dict=False,
        )[0]
        of_picture = output[:, : height * width].transpose(1, 2)
        squares = of_picture.reshape(len(noisy), -1, height, width)
        return functional.pixel_shuffle(squares, self.patch)

    def start(self, scheduler: Any, steps: int, tokens: int, device: torch.device) -> None:
        levels = np.linspace(1.0, 1 / steps, steps).tolist()
        start_flow(scheduler, steps, tokens, device, levels=levels)

    def _packed(self, latents: Tensor) -> Tensor:
        """Convert latents [batch, c, h, w] to tokens [batch, h * w / 4, 4 * c], row by row."""
        return functional.pixel_unshuffle(latents, self.patch).flatten(2).transpose(1, 2)

    def _guidance(self, given: Given, noisy: Tensor) -> Tensor | None:
        if not self.transformer.config.guidance_embeds:
            return None
        scale = _TRAINING_GUIDANCE if given.guidance is None else given.guidance
        return torch.full((len(noisy),), scale, device=noisy.device)


def load_flux_kontext(base: str, folder: Path, wanted: Wanted) -> DiffusionModel:
    """Load the model in the folder of the base named `base`; errors as in `load_pipeline`."""
    pipeline = load_pipeline(
        FluxKontextPipeline, folder, wanted.loaded_in, outlined=wanted.outlined
    )
    transformer, dtype = pipeline.transformer, DTYPES[wanted.precision]
    if wanted.lora is not None:
        add_lora(transformer, wanted.lora, layers=JOINT_LAYERS, seed=wanted.seed)
    long = T5Reader(pipeline.tokenizer_2, frozen(pipeline.text_encoder_2, dtype), _TEXT)
    return DiffusionModel(
        family=family_of(folder),
        base=base,
        folder=folder,
        autoencoder=Autoencoder.of(pipeline.vae, dtype, scales_sources=True),
        texts=ClipT5Texts(pipeline.tokenizer, frozen(pipeline.text_encoder, dtype), long),
        denoiser=FluxDenoiser(transformer),
        scheduler=pipeline.scheduler,
        levels=flow_levels(pipeline.scheduler),
        conditions=wanted.conditions,
        lora=wanted.lora,
    )


def _places(picture: int, height: int, width: int, device: torch.device) -> Tensor:
    """Return the positions [height * width, 3] of a picture's tokens."""
    rows, columns = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    return torch.stack([torch.full_like(rows, picture), rows, columns], dim=-1).flatten(0, 1)
