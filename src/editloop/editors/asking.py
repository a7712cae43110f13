"""Types of settings that several editors share."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from editloop.schema import PERSPECTIVES, Json

__all__ = ["ORIGINAL", "Acceleration", "Precision", "Reward", "Steps"]

ORIGINAL = (".safetensors", ".ckpt")  # suffixes of original checkpoints, published as one file


def _split(value: Json) -> Json:
    if not isinstance(value, str) or value == "none":
        return value
    scores = value.split(",")
    if len(scores) != len(PERSPECTIVES):
        raise ValueError("a reward is three scores, such as 5,5,5, or none")
    return scores


def _in_range(value: tuple[float, float, float] | str) -> tuple[float, float, float] | str:
    if not isinstance(value, str) and not all(0 <= score <= 5 for score in value):
        raise ValueError("a score must be in 0..5")
    return value


Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]

Acceleration: TypeAlias = Literal["none", "reused-guidance"]  # lossy, so off by default

# Following, preserving and quality, or none; as text `5,5,5`.
Reward: TypeAlias = Annotated[
    tuple[float, float, float] | Literal["none"], BeforeValidator(_split), AfterValidator(_in_range)
]

Steps: TypeAlias = Annotated[int, Field(ge=1, le=1000)]  # of the 1000 that models are trained on
