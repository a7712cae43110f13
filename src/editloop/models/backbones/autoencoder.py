"""A frozen autoencoder, and the scales at which latents are learned and shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from editloop.errors import RecipeError
from editloop.models.backbones.freezing import frozen
from editloop.schema import Pixels

__all__ = ["Autoencoder", "Posterior"]


@dataclass(frozen=True, slots=True)
class Posterior:
    """What an encoder says of pictures: mean and standard deviation, each [batch, c, h, w]."""

    mean: Tensor
    std: Tensor

    def at(self, noise: Tensor) -> Tensor:
        """A sample of it, from Gaussian noise [batch, c, h, w]."""
        return self.mean + self.std * noise


@dataclass(frozen=True, slots=True)
class Autoencoder:
    """diffusers' `AutoencoderKL`, without gradients.

    `scales_sources` says whether a source is shown to the denoiser at the scale that is learned:
    SD 1.5 and XL show it as the encoder gives it (InstructPix2Pix), SD3 and FLUX scaled. `shifts`
    says whether what is learned is also shifted, where the autoencoder's configuration has it.
    """

    vae: Any
    scales_sources: bool = False
    shifts: bool = True

    @classmethod
    def of(
        cls, vae: Any, dtype: torch.dtype, *, scales_sources: bool = False, shifts: bool = True
    ) -> Autoencoder:
        """A loaded one, frozen, in `dtype`; in float32 for one that overflows in float16 (SDXL's).

        Raises RecipeError for one whose latents have means and deviations of their own.
        """
        if vae.config.get("latents_mean") is not None:
            raise RecipeError(
                "latents that are scaled channel by channel are not known here",
                value=f"latents_mean={vae.config.latents_mean}",
                fix="name a base whose autoencoder has a scaling factor alone",
            )
        upcast = dtype == torch.float16 and vae.config.force_upcast
        return cls(frozen(vae, torch.float32 if upcast else dtype), scales_sources, shifts)

    @property
    def channels(self) -> int:
        """Channels of a latent."""
        return int(self.vae.config.latent_channels)

    @property
    def factor(self) -> int:
        """Pixels of a side for one of the latent's."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @torch.no_grad()
    def posterior(self, pixels: Tensor) -> Posterior:
        """Of pictures, uint8 [batch, height, width, 3]; sides are multiples of `factor`."""
        found = self.vae.encode(_values(pixels, self.vae)).latent_dist
        return Posterior(found.mean, found.std)

    def learned(self, latents: Tensor) -> Tensor:
        """Latents at the scale that a denoiser learns: z = (latents - shift) * scale."""
        return (latents - self._shift) * float(self.vae.config.scaling_factor)

    def shown(self, mean: Tensor) -> Tensor:
        """A source's or mask's latents (the mode) as they are shown to the denoiser."""
        return self.learned(mean) if self.scales_sources else mean

    def unshown(self, latents: Tensor) -> Tensor:
        """Shown latents at the scale that is learned, such as `pictures` takes."""
        return latents if self.scales_sources else self.learned(latents)

    @torch.no_grad()
    def pictures(self, latents: Tensor) -> list[Pixels]:
        """The pictures of learned latents."""
        raw = latents / float(self.vae.config.scaling_factor) + self._shift
        values = self.vae.decode(raw.to(self.vae.dtype), return_dict=False)[0]
        scaled = (values.float() / 2 + 0.5).clamp(0, 1) * 255
        rounded = scaled.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return list(np.ascontiguousarray(rounded))

    @property
    def _shift(self) -> float:
        shift = getattr(self.vae.config, "shift_factor", None) if self.shifts else None
        return float(shift or 0.0)


def _values(pixels: Tensor, vae: Any) -> Tensor:
    values = pixels.to(vae.device).permute(0, 3, 1, 2).float() / 255
    return (2 * values - 1).to(vae.dtype)
