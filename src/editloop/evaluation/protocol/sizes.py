"""The size at which each number of a protocol sees an edited picture.

A live editor's pictures keep its working size, and recorded ones the size of their files.
"""

from __future__ import annotations

from collections.abc import Mapping

from editloop.evaluation.protocol.card import JudgeCard, Protocol
from editloop.schema import Json

__all__ = ["judged_size", "measured_size", "sizes_of"]

_AS_EDITED = "as edited"
_JUDGED = {
    "source": "resized to the source's size",
    "fitted": "as edited, beside the source cropped and resized to it",
    "own": f"{_AS_EDITED}, beside the source at its own size",
}
_COMPARED = {"pixels": "target", "lpips": "target", "structure": "source"}


def sizes_of(protocol: Protocol) -> dict[str, str]:
    """Return, by metric and for the judge, the size at which it sees the edited picture."""
    sizes = {name: measured_size(spec["kind"], spec) for name, spec in protocol.metrics.items()}
    return sizes if protocol.judge is None else {**sizes, "judge": judged_size(protocol.judge)}


def measured_size(kind: str, settings: Mapping[str, Json]) -> str:
    """Return the size at which a metric, by its SPEC's kind and settings, sees the picture."""
    if kind in _COMPARED:
        return f"resized to the {settings.get('against', _COMPARED[kind])}'s size"
    if settings.get("region", "whole") != "whole":
        return "resized to the mask's size"
    return _AS_EDITED


def judged_size(card: JudgeCard) -> str:
    """Return the size at which a judge sees the picture by its card."""
    text = _JUDGED[card.sizes]
    return text if card.height is None else f"{text}; then both at a height of {card.height} px"
