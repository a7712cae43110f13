"""Guidance with two scales, for the instruction and the source (InstructPix2Pix, equation 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from editloop.models.inputs import EditInputs

__all__ = ["Branch", "branches", "guided"]


@dataclass(frozen=True, slots=True)
class Branch:
    """One prediction of equation 3: its weight and its conditions."""

    weight: float
    source: bool
    text: bool


def branches(text: float, image: float) -> tuple[Branch, ...]:
    """Return the predictions of equation 3 with their weights, without those of weight 0.

    e(z, 0, 0) + image * (e(z, I, 0) - e(z, 0, 0)) + text * (e(z, I, T) - e(z, I, 0)) gives the
    three predictions the weights 1 - image, image - text and text. Skipping a weight of 0 is exact:
    image 1 needs two network calls instead of three, text and image 1 only one.
    """
    every = (
        Branch(1.0 - image, source=False, text=False),
        Branch(image - text, source=True, text=False),
        Branch(text, source=True, text=True),
    )
    return tuple(branch for branch in every if branch.weight != 0)


def guided(
    predict: Callable[[EditInputs], Tensor],
    inputs: EditInputs,
    empty_text: Tensor,
    chosen: Sequence[Branch],
) -> Tensor:
    """Return the weighted sum of the chosen branches' predictions.

    A branch without source gets zeros, one without text the ids [tokens] of the empty text, as in
    training.
    """
    total: Tensor | None = None
    for branch in chosen:
        changes = {}
        if not branch.source:
            changes["source"] = torch.zeros_like(inputs.source)
        if not branch.text:
            changes["text"] = empty_text.expand_as(inputs.text)
        prediction = predict(inputs.with_(changes))
        if branch.weight != 1:
            prediction = branch.weight * prediction
        total = prediction if total is None else total + prediction
    assert total is not None  # the weights add up to 1, so one is not 0
    return total
