"""What is asked of a base model before it is trained or edited with."""

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
    """Conditions to make room for, how new input weights start, and in what to compute.

    `precision` is that of the frozen networks and, with `lora`, of the frozen base too. What is
    trained stays in fp32; a model that is only edited with (`trained` False) is in `precision`
    throughout. An `outlined` one has no values, on torch's meta device: its weights are not read.
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
