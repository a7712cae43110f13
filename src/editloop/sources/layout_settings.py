"""The settings of the source `layout`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from editloop.images.masks import MaskSettings
from editloop.schema import Json
from editloop.sources.fitting import Fit

__all__ = ["LayoutSettings"]


class LayoutSettings(MaskSettings):
    """The data set (a folder, relative to the working directory), and how much of it to take.

    `options` are those of the layout, such as `language`. A random sample takes whole sessions, and
    only the first turns of the last one, so that it has `sample` edits and no session has gaps.

    `splits: two` publishes `train` and `heldout`: the set's validation and test splits are held
    out, and a random share of the rest by group (sessions, one prompt's pairs). If several splits
    are merged, ids start with their split.
    """

    path: Path
    layout: str | None = Field(
        default=None, description="its layout (default: detected from its files)"
    )
    options: dict[str, Json] = Field(default_factory=dict)
    split: str | None = Field(default=None, description="one of its splits, or a name for all")
    only: Path | None = Field(
        default=None, description="a JSON file whose keys or items are the ids of the edits to take"
    )
    sample: int | None = Field(
        default=None, ge=1, description="size of a random sample of edits (default: all)"
    )
    seed: int = Field(default=0, ge=0, description="seed of the random choices")
    splits: Literal["own", "two"] = "own"
    heldout: float = Field(default=0.0, ge=0, le=1, description="share held out by `splits: two`")
    faults: Literal["refuse", "quarantine"] = "refuse"
    normalise: bool = Field(default=False, description="normalise the pictures on import")
    fit: Fit = Field(
        default="refuse",
        description="what to do with a target or mask whose shape differs by more than 3%",
    )
    licence: str | None = Field(default=None, description="licence of edits without one")
