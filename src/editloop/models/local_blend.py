"""Local blending: latents of a target are its source's outside the region of the changed words.

Hertz et al., "Prompt-to-Prompt Image Editing with Cross Attention Control" (2022), section 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["LocalBlend", "blend_mask", "coarse_size"]

_COARSE = 4  # maps are read at this fraction of the latents' sides


def coarse_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of a quarter of the latents' sides: 16 x 16 for 512 px."""
    return -(-size[0] // _COARSE), -(-size[1] // _COARSE)


class LocalBlend:
    """The cross-attention maps seen in one sampling run, and the blending by them.

    words: [2 pairs, tokens] of 0 or 1, the changed words of each row's prompt; a pair without any
    is not blended. size: height and width of the latents. threshold: the minimum attention in the
    region, where the maximum is 1. start: the share of the steps after which blending begins.
    """

    def __init__(
        self,
        words: Tensor,
        size: tuple[int, int],
        steps: int,
        *,
        threshold: float = 0.3,
        start: float = 0.2,
    ) -> None:
        self._words = words
        self._size = size
        self._coarse = coarse_size(size)
        self._threshold = threshold
        self._begin = int(start * steps)
        self._seen: Tensor | None = None  # [2 pairs, coarse pixels, tokens], summed over all maps

    def reads(self, pixels: int) -> bool:
        """Return whether maps with this many pixels are read."""
        return pixels == self._coarse[0] * self._coarse[1]

    def see(self, maps: Tensor) -> None:
        """Add the maps of one layer at one step, [2 pairs, heads, coarse pixels, tokens]."""
        seen = maps.float().mean(dim=1)
        self._seen = seen if self._seen is None else self._seen + seen

    def blended(self, latents: Tensor, step: int) -> Tensor:
        """Return latents [2 pairs, c, h, w] with the source outside each target's region.

        `step`, counted from 0, is the one that has been sampled.
        """
        if self._seen is None or step < self._begin:
            return latents
        mask = blend_mask(self._seen, self._words, self._coarse, self._size, self._threshold)
        anywhere = (self._words[0::2] + self._words[1::2]).any(dim=1).to(mask.device)
        mask = mask | ~anywhere[:, None, None, None]
        sources, targets = latents[0::2], latents[1::2]
        return torch.stack([sources, torch.where(mask, targets, sources)], dim=1).flatten(0, 1)


def blend_mask(
    maps: Tensor, words: Tensor, coarse: tuple[int, int], size: tuple[int, int], threshold: float
) -> Tensor:
    """Return the region that a pair's changed words attend to, [pairs, 1, h, w].

    It is the union of the masks B(M, w) of the source and B(M*, w*) of the target in section 3.2's
    local editing. maps: [2 pairs, coarse pixels, tokens]; words: [2 pairs, tokens]; `size` is h, w.
    """
    attended = (maps * words.to(maps)[:, None]).sum(dim=-1).reshape(len(maps), 1, *coarse)
    attended = functional.max_pool2d(attended, kernel_size=3, stride=1, padding=1)
    attended = functional.interpolate(attended, size=size)
    most = attended.amax(dim=(1, 2, 3), keepdim=True)
    found = (attended > threshold * most) & (most > 0)
    return found[0::2] | found[1::2]
