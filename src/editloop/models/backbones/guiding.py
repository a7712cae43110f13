"""The guided prediction of each sampling step, in one network call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from editloop.models.backbones.denoisers import Denoiser, Given
from editloop.models.backbones.texts import TextStates
from editloop.models.guidance import Branch

__all__ = ["Guide", "reused_steps"]


def reused_steps(count: int) -> frozenset[int]:
    """Return the steps that reuse guidance: every second one except at both ends.

    The first and the last tenth of the `count` steps, at least one each, are exact.
    """
    ends = max(1, count // 10)
    return frozenset(step for step in range(ends, count - ends) if step % 2)


class Guide:
    """Compute the weighted sum of the branches' predictions, approximately at `reused` steps.

    At `reused` steps the network predicts only the last branch, which has all conditions, and the
    difference that guidance made at the last exact step is added to it. With one branch all steps
    are exact. This follows the CFG-Cache of Lv et al., "FasterCache: Training-Free Video Diffusion
    Model Acceleration with High Quality" (2024), without its reweighting of frequencies.
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
        """Return the guided prediction [batch, c, h, w], float32, for scaled noisy latents."""
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
    """Concatenate the conditions of all branches along the batch.

    A branch without source gets zeros, for the mask too, as in the released pipelines; one without
    text gets the empty text. Rewards are the same in all branches.
    """
    batch = len(given.source)

    def pictures(latents: Tensor) -> Tensor:
        kept = latents.to(dtype)
        zeros = torch.zeros_like(kept)
        return torch.cat([kept if branch.source else zeros for branch in chosen])

    def texts(states: Tensor) -> Tensor:
        kept, blank = states[:batch], states[-1:].expand_as(states[:batch])
        return torch.cat([kept if branch.text else blank for branch in chosen]).to(dtype)

    def same(values: Tensor) -> Tensor:
        return values.repeat(len(chosen), *(1,) * (values.ndim - 1))

    reward = given.reward
    return Given(
        source=pictures(given.source),
        text=TextStates(texts(given.text.hidden), texts(given.text.pooled)),
        mask=None if given.mask is None else pictures(given.mask),
        scores=None if given.scores is None else same(given.scores),
        keep=None if given.keep is None else same(given.keep),
        reward=None
        if reward is None
        else TextStates(same(reward.hidden.to(dtype)), same(reward.pooled.to(dtype))),
        guidance=given.guidance,
    )


def _weighted(output: Tensor, chosen: Sequence[Branch]) -> Tensor:
    """Return the weighted sum of the predictions [branches * batch, ...], in float32."""
    if len(chosen) == 1 and chosen[0].weight == 1:
        return output.float()
    parts = output.float().chunk(len(chosen))
    weighted = [branch.weight * part for branch, part in zip(chosen, parts, strict=True)]
    return torch.stack(weighted).sum(0)
