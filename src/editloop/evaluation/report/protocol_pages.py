"""Build the report's protocols: views of the results, with galleries from the run and its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from editloop.errors import EditLoopError
from editloop.evaluation.protocol.card import Protocol, read_protocol
from editloop.evaluation.report.casetables import CaseTable, case_tables
from editloop.evaluation.report.protocol_gallery import Choice, choose_extremes, gallery
from editloop.evaluation.report.protocol_views import ProtocolPart, ProtocolView, protocols
from editloop.evaluation.report.truths import Truths, read_truths
from editloop.schema import Json
from editloop.showing.thumbnails import LightPictures

__all__ = ["protocol_parts"]

_KIND = "protocol"
_MOST_PICTURES = 220  # in all galleries together; keeps a page below 6 MB
_MOST_EDITORS = 4  # editors with a gallery


def protocol_parts(
    run: Path, results: Mapping[str, Json], entries: Sequence[Mapping[str, Json]], count: int
) -> list[ProtocolPart]:
    """Return every protocol of a run, with about `count` gallery cases per benchmark.

    `entries` are the entries of the recipe's `evaluate`, which name the data folders.
    """
    names = [name for name, own in results.get("benchmarks", {}).items() if own.get("protocol")]
    tables = case_tables(run, names)
    evaluated = {entry["name"]: entry for entry in entries if entry["kind"] == _KIND}
    cards = {name: _card(entry["protocol"]) for name, entry in evaluated.items()}
    current = {card.fingerprint: card for card in cards.values() if card is not None}
    parts = protocols(results, tables, current)
    lights = LightPictures()
    pictures = _MOST_PICTURES // max(1, sum(len(part.benchmarks) for part in parts))
    for part in parts:
        choices = {
            view.name: _choices(view, tables[view.name], count, pictures)
            for view in part.benchmarks
            if view.name in tables
        }
        truths = _truths(part, choices, evaluated, cards, lights)
        part.problem = truths.problem
        for view in part.benchmarks:
            view.galleries = [
                gallery(choice, view.editors, truths.found, lights)
                for choice in choices.get(view.name, ())
            ]
    return parts


def _card(name: str) -> Protocol | None:
    """Return the card as it is now; None if it cannot be read, as when a user's file is gone."""
    try:
        return read_protocol(name)
    except EditLoopError:
        return None


def _choices(view: ProtocolView, table: CaseTable, count: int, pictures: int) -> list[Choice]:
    """Choose each editor's worst and best cases, at most `count` cases and `pictures` pictures."""
    ranked = view.ranked[:_MOST_EDITORS]
    each = len(view.editors) * (3 if table.drifts else 1) + 2
    cases = min(count // 4 if table.drifts else count, pictures // each)
    if not ranked or cases < 1:
        return []
    ends = max(1, cases // (2 * len(ranked)))
    made = [
        choose_extremes(table, own.editor, own.metric, ends, less=own.less)
        for own in ranked[: max(1, cases // 2)]
    ]
    return [choice for choice in made if choice.extremes.ranked]


def _truths(
    part: ProtocolPart,
    choices: Mapping[str, Sequence[Choice]],
    evaluated: Mapping[str, Mapping[str, Json]],
    cards: Mapping[str, Protocol | None],
    lights: LightPictures,
) -> Truths:
    chosen = [choice for own in choices.values() for choice in own]
    if not chosen:
        return Truths()
    name = chosen[0].table.part
    card = cards.get(name)
    if card is None:
        return Truths(problem=f"the card of {part.card.name!r} cannot be read any more")
    digests = {case: own for choice in chosen for case, own in choice.digests.items()}
    return read_truths(card, Path(evaluated[name]["data"]), digests, lights)
