"""Rules by which a protocol excludes broken cases; excluded cases are counted."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from editloop.schema import EditSample
from editloop.settings import Settings

__all__ = ["Exclusion", "excluded"]


class Exclusion(Settings):
    """A rule that excludes cases whose two captions are the same, or are one of `captions`."""

    rule: Literal["identical-captions", "caption-is"]
    captions: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_captions(self) -> Exclusion:
        if (self.rule == "caption-is") != bool(self.captions):
            raise ValueError("`captions` belongs to the rule caption-is, which needs it")
        return self

    def holds(self, sample: EditSample) -> bool:
        """Return whether the rule excludes the case."""
        source, target = _plain(sample.source_caption), _plain(sample.target_caption)
        if self.rule == "identical-captions":
            return source is not None and source == target
        return bool({_plain(each) for each in self.captions} & {source, target} - {None})


def excluded(sample: EditSample, rules: tuple[Exclusion, ...]) -> str | None:
    """Return the first rule that excludes the case, or None."""
    return next((rule.rule for rule in rules if rule.holds(sample)), None)


def _plain(caption: str | None) -> str | None:
    return None if caption is None else " ".join(caption.casefold().split()).rstrip(".")
