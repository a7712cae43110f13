"""What is set of the source `layout`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from editloop.schema import Json
from editloop.settings import Settings as BaseSettings

__all__ = ["LayoutSettings"]


class LayoutSettings(BaseSettings):
    """Which data set (a folder, from the working directory), and how much of it.

    `options` are those of the layout, such as `language`. A sample takes whole sessions by lot; of
    the last one the first turns, so that it has `sample` edits and every session is one.

    `splits: two` publishes `train` and `heldout`: what a set keeps for validation and tests is held
    out, and of the rest a share of the groups (sessions, one prompt's pairs) by lot. Where several
    splits come together, ids start with their split.
    """

    path: Path
    layout: str | None = Field(default=None, description="how it is laid out (by its files)")
    options: dict[str, Json] = Field(default_factory=dict)
    split: str | None = Field(default=None, description="one of its splits, or a name for all")
    only: Path | None = Field(
        default=None, description="a JSON file whose keys or items are the ids of the edits to take"
    )
    sample: int | None = Field(default=None, ge=1, description="so many edits, by lot (all)")
    seed: int = Field(default=0, ge=0, description="of the lots")
    splits: Literal["own", "two"] = "own"
    heldout: float = Field(default=0.0, ge=0, le=1, description="share held out by `splits: two`")
    faults: Literal["refuse", "quarantine"] = "refuse"
    normalise: bool = Field(default=False, description="make every decision about pixels now")
    licence: str | None = Field(default=None, description="of edits whose own is not given")
