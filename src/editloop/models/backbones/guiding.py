"""The guided prediction of each step: the branches as one call of the network, or one for all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from editloop.models.backbones.denoisers import Denoiser, Given
from editloop.models.backbones.texts import TextStates
from editloop.models.guidance import Branch

__all__ = ["Guide", "reused_steps"]


def reused_steps(count: int) -> frozenset[int]:
    """At which of so many steps guidance is reused: every second one, but for the ends.

    A tenth of the steps at the beginning and at the end, and one at least, are exact.
    """
    ends = max(1, count // 10)
    return frozenset(step for step in range(ends, count - ends) if step % 2)


class Guide:
    """Weighs the branches' predictions; at `reused` steps, which is lossy, one stands for all.

    There the network predicts for the last branch alone, which has all conditions, and what
    guidance added to that at the last exact step is added again. With one branch all steps are
    exact. After the CFG-Cache of Lv et al., "FasterCache: Training-Free Video Diffusion Model
    Acceleration with High Quality" (2024), which weighs low and high frequencies anew meanwhile.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        given: Given,
        chosen: Sequence[Branch],
        dtype: torch.dtype,
        reused: frozenset[int] = frozenset(),
    ) -> None:
        self._denoiser, self._chosen = denoiser, chosen
        self._every = _branched(given, chosen, dtype)
        self._last = _branched(given, chosen[-1:], dtype)
        self._reused = reused if len(chosen) > 1 else frozenset()
        self._added: Tensor | None = None

    def __call__(self, step: int, noisy: Tensor, timestep: Tensor) -> Tensor:
        """The guided prediction [batch, c, h, w], float32, for latents as the network sees them."""
        batch = len(noisy)
        if step in self._reused and self._added is not None:
            alone: Tensor = self._denoiser(noisy, timestep.expand(batch), self._last)
            return alone.float() + self._added
        rows = noisy.repeat(len(self._chosen), 1, 1, 1)
        output = self._denoiser(rows, timestep.expand(len(rows)), self._every)
        guided = _weighted(output, self._chosen)
        self._added = guided - output[-batch:].float()
        return guided


def _branched(given: Given, chosen: Sequence[Branch], dtype: torch.dtype) -> Given:
    """The conditions of all branches, one after another.

    Without its source a branch sees zeros, for the mask too, as the released pipelines have it;
    without its text the empty one. Rewards stay.
    """
    batch = len(given.source)

    def shown(latents: Tensor) -> Tensor:
        seen = latents.to(dtype)
        nothing = torch.zeros_like(seen)
        return torch.cat([seen if branch.source else nothing for branch in chosen])

    def told(states: Tensor) -> Tensor:
        texts, blank = states[:batch], states[-1:].expand_as(states[:batch])
        return torch.cat([texts if branch.text else blank for branch in chosen]).to(dtype)

    def same(values: Tensor) -> Tensor:
        return values.repeat(len(chosen), *(1,) * (values.ndim - 1))

    reward = given.reward
    return Given(
        source=shown(given.source),
        text=TextStates(told(given.text.hidden), told(given.text.pooled)),
        mask=None if given.mask is None else shown(given.mask),
        scores=None if given.scores is None else same(given.scores),
        keep=None if given.keep is None else same(given.keep),
        reward=None
        if reward is None
        else TextStates(same(reward.hidden.to(dtype)), same(reward.pooled.to(dtype))),
        guidance=given.guidance,
    )


def _weighted(output: Tensor, chosen: Sequence[Branch]) -> Tensor:
    """The branches' predictions [branches * batch, ...] by their weights, in float32."""
    if len(chosen) == 1 and chosen[0].weight == 1:
        return output.float()
    parts = output.float().chunk(len(chosen))
    weighted = [branch.weight * part for branch, part in zip(chosen, parts, strict=True)]
    return torch.stack(weighted).sum(0)
