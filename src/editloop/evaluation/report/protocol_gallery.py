"""The galleries of a protocol's benchmarks: each editor's worst and best cases."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import TypeAlias

from editloop.errors import ImageError, StoreError
from editloop.evaluation.report.casetables import Answered, CaseTable, Extremes, answers, extremes
from editloop.evaluation.report.truths import Truth
from editloop.runtime.machine import cores
from editloop.showing.cards import Card, CardTurn
from editloop.showing.labels import amount, label, short_label
from editloop.showing.thumbnails import LightPictures, Picture

__all__ = ["Choice", "Gallery", "choose_extremes", "gallery"]

_Place: TypeAlias = tuple[str, str, int]  # an editor, a case's id and its turn
_Pictures: TypeAlias = Mapping[_Place, Picture]


@dataclass(frozen=True, slots=True)
class Choice:
    """One editor's worst and best cases by one metric, with every editor's answers to them."""

    table: CaseTable
    editor: str
    metric: str
    extremes: Extremes
    answers: Mapping[str, Sequence[Answered]]

    @property
    def digests(self) -> dict[str, str | None]:
        """The digests of the cases that are shown, by id."""
        return {each.id: each.digest for own in self.answers.values() for each in own}


@dataclass(frozen=True, slots=True)
class Gallery:
    """One editor's worst and best cases (or sessions) as the page shows them."""

    editor: str
    metric: str
    sessions: bool
    ranked: int
    unranked: int
    worst: Sequence[Card]
    best: Sequence[Card]


def choose_extremes(
    table: CaseTable, editor: str, metric: str, count: int, *, less: bool
) -> Choice:
    """Choose the `count` worst and best cases of an editor by a metric.

    `less`: a lower value is better.
    """
    found = extremes(table, editor, metric, count, less=less)
    return Choice(table, editor, metric, found, answers(table, {*found.worst, *found.best}))


def gallery(
    choice: Choice, editors: Sequence[str], truths: Mapping[str, Truth], lights: LightPictures
) -> Gallery:
    """Return the cards of a choice, with the answers of all `editors` in this order."""
    pictures = _pictures(choice, lights)
    worst, best = (
        [_card(choice, name, editors, truths, pictures) for name in names]
        for names in (choice.extremes.worst, choice.extremes.best)
    )
    return Gallery(
        editor=choice.editor,
        metric=label(choice.metric),
        sessions=choice.table.drifts,
        ranked=choice.extremes.ranked,
        unranked=choice.extremes.unranked,
        worst=worst,
        best=best,
    )


def _pictures(choice: Choice, lights: LightPictures) -> _Pictures:
    """Read the editors' pictures in parallel."""
    own = [each for answers in choice.answers.values() for each in answers]
    with ThreadPoolExecutor(cores()) as pool:
        made = pool.map(partial(_answer, metric=choice.metric, lights=lights), own)
        return dict(zip(map(_place, own), made, strict=True))


def _place(answer: Answered) -> _Place:
    return answer.editor, answer.id, answer.turn


def _card(
    choice: Choice, name: str, editors: Sequence[str], truths: Mapping[str, Truth], made: _Pictures
) -> Card:
    own = choice.answers[name]
    mine = [each.numbers[choice.metric] for each in own if each.editor == choice.editor]
    note = f"{label(choice.metric)} {amount(choice.metric, sum(mine) / len(mine))}"
    turns = [
        _turn(choice, sorted(turn, key=lambda each: editors.index(each.editor)), truths, made)
        for _, turn in groupby(own, key=lambda each: each.turn)
    ]
    return Card(name, turns, note)


def _turn(
    choice: Choice, own: Sequence[Answered], truths: Mapping[str, Truth], made: _Pictures
) -> CardTurn:
    case = own[0]
    truth = truths.get(case.id)
    pictures = [] if truth is None else _before(choice.table, case, truth)
    pictures += [made[_place(each)] for each in own]
    goes_on = choice.table.builds and not choice.table.sessions and truth is not None
    return CardTurn(
        instruction=case.instruction,
        edit_type=f"turn {case.turn}" if case.session else case.kind or "edit",
        pictures=pictures,
        earlier=truth.instructions[:-1] if truth is not None and goes_on else (),
    )


def _before(table: CaseTable, case: Answered, truth: Truth) -> list[Picture]:
    """Return the pictures shown before the answers: the source or start, and the target.

    In sessions, the start is shown at the first turn only.
    """
    if not table.builds:
        shown = [truth.source]
    elif table.sessions and case.turn > 1:
        shown = []
    else:
        shown = [truth.start]
    return shown if truth.target is None else [*shown, truth.target]


def _answer(answer: Answered, metric: str, lights: LightPictures) -> Picture:
    """Return an editor's picture with its numbers, the gallery's metric first."""
    names: Collection[str] = dict.fromkeys(
        [*(name for name in answer.numbers if name == metric), *answer.numbers]
    )
    numbers = [(short_label(name), amount(name, answer.numbers[name])) for name in names]
    words = [(label(name), text) for name, text in answer.words.items()]
    return replace(_made(answer, lights), numbers=numbers, words=words)


def _made(answer: Answered, lights: LightPictures) -> Picture:
    if answer.picture is None:
        return Picture(answer.editor, f"{answer.editor} made no picture", reason=answer.unedited)
    try:
        data, alt = answer.picture.read(), f"“{answer.instruction}” by {answer.editor}"
        return lights.shown(answer.editor, data, alt)
    except (OSError, ImageError, StoreError) as error:
        cause = (error.strerror or error) if isinstance(error, OSError) else error.cause
        reason = f"the picture cannot be read any more: {cause}"
        return Picture(answer.editor, f"{answer.editor}'s picture is not here", reason=reason)
