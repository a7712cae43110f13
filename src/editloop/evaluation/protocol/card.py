"""Protocol cards: everything that a published number depends on, pinned in YAML.

A card's fingerprint covers what can change a number and nothing else. It is stored with every
result, and results with different fingerprints are never put into one table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from editloop.errors import RecipeError, known_names
from editloop.evaluation.protocol.exclusions import Exclusion
from editloop.schema import Json, canonical_json
from editloop.settings import Settings, read_yaml, validate
from editloop.storage.records import fingerprint

__all__ = [
    "EDITING",
    "BenchmarkCard",
    "DataCard",
    "Derived",
    "JudgeCard",
    "Perspective",
    "Protocol",
    "Sweep",
    "listing",
    "read_protocol",
]

_FOLDER = "protocols"
# Editing settings that a card may set; each editor uses those it has.
EDITING = {"steps", "text_guidance", "image_guidance", "scheduler", "size", "strength"}
# Columns of the table of cases that are not metrics.
_COLUMNS = {
    *("benchmark", "editor", "id", "session", "turn", "setting", "edit_type", "group", "photo"),
    *("instruction", "digest", "picture", "sha256", "unedited", "unscored"),
}
_TEXTS = {"title", "source", "about"}  # texts for readers, which change no number


class DataCard(Settings):
    """The layout of the data, and the number of sessions and cases of the published test set."""

    layout: str
    options: dict[str, Json] = Field(default_factory=dict)
    sessions: int | None = None
    cases: int | None = None


class BenchmarkCard(Settings):
    """The answers that count under one name; an `optional` benchmark may lack recorded pictures."""

    setting: Literal["independent", "iterative"] = "independent"
    last_only: bool = False
    optional: bool = False


class Sweep(Settings):
    """An editing setting that takes several values; each editor is drawn as a curve.

    The curve plots the metric `up` over the metric `across`.
    """

    setting: str
    values: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = Field(min_length=2)
    across: str
    up: str


class Perspective(Settings):
    """One aspect that the judge scores, from `low` to `high`; with `passes`, also pass or fail."""

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    passes: bool = False


class Derived(Settings):
    """A number computed from a case's other numbers, rounded to `decimals` if that is set."""

    how: Literal["min", "mean", "geometric-mean"]
    of: tuple[str, ...] = Field(min_length=2)
    decimals: int | None = Field(default=None, ge=0)


class JudgeCard(Settings):
    """The aspects that the judge scores; `published` names the judge of the published numbers.

    `sizes` is how the judge sees source and edited picture: the edited one resized to the `source`;
    the source `fitted` to the edited one, by the crop and filter of InstructPix2Pix's command; or
    each at its `own` size. With a `height` both are then resized to it.
    """

    perspectives: dict[str, Perspective] = Field(min_length=1)
    rubrics: tuple[str, ...] = Field(
        default=(), description="rubrics for a model judge; default: those named as perspectives"
    )
    derived: dict[str, Derived] = Field(default_factory=dict)
    published: str | None = None
    sizes: Literal["source", "fitted", "own"] = "source"
    height: int | None = Field(default=None, description="pictures are resized to it for the judge")
    jpeg_quality: int | None = Field(
        default=None, ge=1, le=100, description="of pictures sent to a model judge"
    )


class Protocol(Settings):
    """A protocol card: data, reading, editing settings, metrics, judge and averaging.

    `reading` is how pictures are read: `normalised`, as everywhere in this package, or `bare`, by
    Pillow's `convert("RGB")` alone, for published numbers that were made with it. `recorded` is
    what is read of recorded outputs: the `whole` picture, or the `last-square` of one that is not
    square, where released code writes strips of panels. `editing` was published for the families
    of `editing_for`, by an editor's `family`; other editors use their own defaults. A card that
    names none sets it for every editor. `seed` is that of every edit: a number, or the `run`'s own;
    left out, each case has one of its own, derived from the run's.
    """

    name: str = Field(pattern=r"^[\w.+-]+$")
    version: int = Field(ge=1)
    title: str
    source: str
    about: str
    data: DataCard
    reading: Literal["normalised", "bare"] = "normalised"
    recorded: Literal["whole", "last-square"] = "whole"
    exclude: tuple[Exclusion, ...] = ()
    editing: dict[str, Json] = Field(default_factory=dict)
    editing_for: tuple[str, ...] = ()
    seed: Annotated[int, Field(ge=0, lt=2**63)] | Literal["run"] | None = None
    sweep: Sweep | None = None
    benchmarks: dict[str, BenchmarkCard] = Field(min_length=1)
    metrics: dict[str, dict[str, Json]] = Field(default_factory=dict)
    judge: JudgeCard | None = None
    averaging: Literal["cases", "groups"] = "cases"

    @model_validator(mode="after")
    def _is_usable(self) -> Protocol:
        canonical_json(self.editing)  # raises for NaN and infinite numbers
        unknown = sorted(set(self.editing) - EDITING)
        if unknown:
            raise ValueError(f"unknown editing setting {unknown[0]!r}; known: {sorted(EDITING)}")
        for name, spec in self.metrics.items():
            if not isinstance(spec.get("kind"), str):
                raise ValueError(f"metrics.{name} has no `kind`")
        for name in self.benchmarks:
            if not re.fullmatch(r"[\w.+-]+", name):
                raise ValueError(
                    f"benchmarks: {name!r} is not a valid name; use letters, digits and . + - _"
                )
        return self

    @model_validator(mode="after")
    def _names_are_known(self) -> Protocol:
        judged = (self.judge.perspectives, self.judge.derived) if self.judge else ()
        names = [*self.metrics, *(name for each in judged for name in each)]
        taken = sorted({name for name in names if names.count(name) > 1 or name in _COLUMNS})
        if taken:
            raise ValueError(f"{taken[0]!r} is taken: give the number another name")
        known = {*self.metrics, *(self.judge.perspectives if self.judge else ())}
        for name, derived in (self.judge.derived if self.judge else {}).items():
            _check_known(f"judge.derived.{name}", derived.of, known)
            known.add(name)
        if self.sweep is not None:
            _check_known("sweep", (self.sweep.across, self.sweep.up), known)
        if not known:
            raise ValueError("a protocol needs `metrics` or a `judge`")
        return self

    @property
    def fingerprint(self) -> str:
        """The digest of everything that a number depends on, without the texts for readers."""
        return fingerprint(self.model_dump(mode="json", exclude=_TEXTS))


def listing() -> Iterator[Protocol]:
    """Yield the cards of the package, sorted by name."""
    for name in _names():
        yield read_protocol(name)


def read_protocol(name: str | Path) -> Protocol:
    """Read a card of the package by its name, or a user's own YAML file by its path."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        if str(name) not in _names():
            raise _unknown(str(name))
        with resources.as_file(_cards() / f"{name}.yaml") as own:
            return _read(own)
    return _read(path)


def _read(path: Path) -> Protocol:
    return validate(Protocol, read_yaml(path), where=str(path))


def _names() -> list[str]:
    names: Mapping[str, None] = dict.fromkeys(
        path.name.removesuffix(".yaml") for path in _cards().iterdir()
    )
    return sorted(names)


def _cards() -> resources.abc.Traversable:
    return resources.files("editloop.evaluation") / _FOLDER


def _unknown(name: str) -> RecipeError:
    fix = f"{known_names(name, _names())}; a card of your own is a .yaml file"
    return RecipeError("unknown protocol", value=name, fix=fix)


def _check_known(where: str, names: tuple[str, ...], known: set[str]) -> None:
    unknown = sorted(set(names) - known)
    if unknown:
        raise ValueError(f"{where} names no metric of the card: {unknown[0]!r}")
