"""The report's galleries of cases with every editor's picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from editloop.evaluation.report.rundata import CaseRow
from editloop.schema import EditSample
from editloop.showing.cards import Card, CardTurn
from editloop.showing.survey import choose, find_samples
from editloop.showing.thumbnails import Picture
from editloop.showing.triplets import edit_type_of, stored_picture
from editloop.storage.files import explained

__all__ = ["cards"]


def cards(run: Path, rows: Sequence[CaseRow], editors: Sequence[str], count: int) -> list[Card]:
    """Return `count` cases of one benchmark with every editor's answer, sampled over the types."""
    groups: dict[str, dict[str, dict[str, CaseRow]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        groups[row.session or row.id][row.id][row.editor] = row
    types = {row.session or row.id: row.edit_type for row in rows if row.turn == 1}
    chosen = choose(types, count)
    ids = [name for group in chosen for name in groups[group]]
    samples = find_samples(run / "data", "heldout", ids)
    return [
        Card(
            group,
            [
                _turn(samples[name], answers, editors)
                for name, answers in groups[group].items()
                if name in samples
            ],
        )
        for group in chosen
    ]


def _turn(sample: EditSample, answers: Mapping[str, CaseRow], editors: Sequence[str]) -> CardTurn:
    pictures = [stored_picture("source", sample.source_image.bytes, "the source")]
    if sample.target is not None:
        pictures.append(stored_picture("target", sample.target.bytes, "the known target"))
    pictures += [_answer(editor, answers[editor]) for editor in editors if editor in answers]
    return CardTurn(sample.instruction, edit_type_of(sample), pictures)


def _answer(editor: str, row: CaseRow) -> Picture:
    if row.picture is None:
        return Picture(editor, f"{editor} made no picture", reason=row.unedited, passed=row.passed)
    with explained("read an edited picture", row.picture.folder / row.picture.name):
        data = row.picture.read()
    shown = stored_picture(editor, data, f"“{row.instruction}” by {editor}")
    return replace(shown, passed=row.passed)
