"""A frozen autoencoder, with the scaling of latents for training and conditioning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from editloop.errors import RecipeError
from editloop.models.backbones.freezing import frozen
from editloop.models.decoding import checked_values
from editloop.schema import Pixels

__all__ = ["Autoencoder", "Posterior"]


@dataclass(frozen=True, slots=True)
class Posterior:
    """An encoder's posterior of pictures: mean and standard deviation, each [batch, c, h, w]."""

    mean: Tensor
    std: Tensor

    def at(self, noise: Tensor) -> Tensor:
        """Return a sample, from Gaussian noise [batch, c, h, w]."""
        return self.mean + self.std * noise


@dataclass(frozen=True, slots=True)
class Autoencoder:
    """diffusers' `AutoencoderKL`, without gradients.

    There are two scales of latents: targets have the training scale, and a source or mask is given
    to the denoiser at the condition scale. With `scales_sources` both are the same (SD3 and FLUX);
    else conditions are unscaled encoder outputs (SD 1.5 and XL, InstructPix2Pix). `shifts`: whether
    the training scale also applies the configuration's shift factor, if it has one.
    """

    vae: Any
    scales_sources: bool = False
    shifts: bool = True

    @classmethod
    def of(
        cls, vae: Any, dtype: torch.dtype, *, scales_sources: bool = False, shifts: bool = True
    ) -> Autoencoder:
        """Freeze a loaded autoencoder in `dtype`.

        One that overflows in float16 (SDXL's) is kept in float32. Raises RecipeError if its latents
        are scaled per channel.
        """
        if vae.config.get("latents_mean") is not None:
            raise RecipeError(
                "autoencoders with per-channel scaling of latents are not supported",
                value=f"latents_mean={vae.config.latents_mean}",
                fix="use a base whose autoencoder has only a scaling factor",
            )
        upcast = dtype == torch.float16 and vae.config.force_upcast
        return cls(frozen(vae, torch.float32 if upcast else dtype), scales_sources, shifts)

    @property
    def channels(self) -> int:
        """The number of channels of latents."""
        return int(self.vae.config.latent_channels)

    @property
    def factor(self) -> int:
        """The number of pixels per latent along a side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @torch.no_grad()
    def posterior(self, pixels: Tensor) -> Posterior:
        """Encode pictures, uint8 [batch, height, width, 3]; sides are multiples of `factor`."""
        found = self.vae.encode(_values(pixels, self.vae)).latent_dist
        return Posterior(found.mean, found.std)

    def learned(self, latents: Tensor) -> Tensor:
        """Return encoder latents at the training scale: z = (latents - shift) * scale."""
        return (latents - self._shift) * float(self.vae.config.scaling_factor)

    def shown(self, mean: Tensor) -> Tensor:
        """Return a source's or mask's latents (the posterior mean) at the condition scale."""
        return self.learned(mean) if self.scales_sources else mean

    def unshown(self, latents: Tensor) -> Tensor:
        """Convert latents from the condition scale to the training scale, as for `pictures`."""
        return latents if self.scales_sources else self.learned(latents)

    @torch.no_grad()
    def pictures(self, latents: Tensor) -> list[Pixels]:
        """Decode latents at the training scale to pictures.

        Raises RecipeError for NaN and infinite values.
        """
        raw = latents / float(self.vae.config.scaling_factor) + self._shift
        values = self.vae.decode(raw.to(self.vae.dtype), return_dict=False)[0]
        scaled = (checked_values(values).float() / 2 + 0.5).clamp(0, 1) * 255
        rounded = scaled.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return list(np.ascontiguousarray(rounded))

    @property
    def _shift(self) -> float:
        shift = getattr(self.vae.config, "shift_factor", None) if self.shifts else None
        return float(shift or 0.0)


def _values(pixels: Tensor, vae: Any) -> Tensor:
    values = pixels.to(vae.device).permute(0, 3, 1, 2).float() / 255
    return (2 * values - 1).to(vae.dtype)
