"""The request for a base model, for training or editing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from editloop.models.backbones.model import Lora
from editloop.models.reward import RewardSettings

__all__ = ["NewWeights", "Precision", "Wanted"]

NewWeights: TypeAlias = Literal["zero", "random"]

Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The requested conditions, initial values of new input weights, and precision.

    `precision` is that of the frozen networks and, with `lora`, of the frozen base too. Trained
    weights stay in fp32; a model for editing only (`trained` False) is in `precision` throughout.
    An `outlined` model is on torch's meta device without values: its weights are not read.
    """

    conditions: tuple[str, ...] = ("source",)
    reward: RewardSettings | None = None
    new_weights: NewWeights = "zero"
    lora: Lora | None = None
    precision: Precision = "fp32"
    seed: int = 0
    trained: bool = True
    outlined: bool = False

    @property
    def loaded_in(self) -> Precision:
        """The precision in which the base's weights are read."""
        return "fp32" if self.trained and self.lora is None else self.precision
