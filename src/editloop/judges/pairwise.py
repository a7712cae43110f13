"""Pairwise comparison of two edits, asked in both orders to cancel position bias.

A judge that prefers a position prefers different pictures in the two orders. The comparison then
counts as a tie. `position_bias` counts how often that happens, and for which position.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from pydantic import Field

from editloop.chat.client import Chat, CostEstimate
from editloop.chat.ledger import Reply
from editloop.chat.messages import Failed, Question
from editloop.chat.usage import ChatUsage
from editloop.errors import RecipeError
from editloop.judges.rubrics import read_rubric
from editloop.judges.sheet import Sheet
from editloop.judges.verdicts import Preferred, read_choice, unscored
from editloop.judges.vlm import VlmSettings, identity_of
from editloop.schema import Cause, Pixels, Unscored

__all__ = ["VERSION", "Comparison", "PairwiseJudge", "PositionBias", "Preference", "position_bias"]

VERSION = "pairwise-1"

_SWAPPED = {"first": "second", "second": "first"}
_DISAGREE = "the two orders disagree"


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two edits of one source by the same instruction."""

    id: str
    source: Pixels
    instruction: str
    first: Pixels
    second: Pixels


@dataclass(frozen=True, slots=True)
class Preference:
    """The better edit of a comparison, and the judge's explanation.

    `orders` holds the edit preferred in each of the two answers: first with the first edit in the
    first position, then with the second edit in the first position.
    """

    choice: Preferred
    orders: tuple[Preferred, Preferred]
    text: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class PositionBias:
    """Counts of comparisons: orders agree, one position wins twice, or one order is a tie."""

    agreed: int
    first_place: int
    second_place: int
    half_tied: int


class PairwiseJudge:
    """A judge that asks a model which of two edits is better, twice for each comparison.

    A comparison is unscored if either order has no answer; the reasons are those of `VlmJudge`.
    Raises UnavailableError if no question can be answered.
    """

    class Settings(VlmSettings):
        """The model on an OpenAI-compatible server, its rubric, and where replies are kept."""

        rubric: str = Field(
            default="preference", description="the name or file of a rubric that has a `preference`"
        )

    def __init__(self, settings: PairwiseJudge.Settings) -> None:
        self._settings = settings
        self._rubric = read_rubric(settings.rubric)
        if self._rubric.preference is None:
            raise RecipeError(
                "this rubric does not compare two edits",
                value=settings.rubric,
                fix="name a rubric with a `preference`",
            )
        self.name = f"preference:{settings.target}"
        self.version = identity_of(VERSION, settings, [self._rubric])
        self._chat = Chat(settings, settings.ledger.expanduser(), run=settings.run)

    @property
    def counts(self) -> ChatUsage:
        """The questions asked, replies found in the ledger, and cost so far."""
        return self._chat.counts

    def compare(self, batch: Sequence[Comparison]) -> list[Preference | Unscored]:
        """Return the preference in each comparison; all questions are sent concurrently."""
        asked = self._questions(batch)
        questions = [each for both in asked if not isinstance(both, str) for each in both]
        answers = iter(self._chat.ask([(each, self._read) for each in questions]))
        return [
            Unscored(both, self.version, Cause.MISSING_INPUT)
            if isinstance(both, str)
            else self._preference(next(answers), next(answers))
            for both in asked
        ]

    def estimate(self, batch: Sequence[Comparison]) -> CostEstimate:
        """Return the estimated calls, tokens and cost of comparing; asks nothing."""
        asked = [both for both in self._questions(batch) if not isinstance(both, str)]
        return self._chat.estimate([each for both in asked for each in both])

    def close(self) -> None:
        """Close the connections; later questions are refused."""
        self._chat.close()

    def _questions(self, batch: Sequence[Comparison]) -> list[tuple[Question, Question] | str]:
        """Return each comparison's two questions, or why it cannot be asked."""
        return [self._both(_sheet_of(each)) for each in batch]

    def _both(self, sheet: Sheet) -> tuple[Question, Question] | str:
        ask = partial(
            sheet.question,
            self._rubric,
            repeat=self._settings.repeat,
            temperature=self._settings.chosen_temperature,
        )
        there, back = ask(), ask(places=_SWAPPED)
        if isinstance(there, str):
            return there
        return back if isinstance(back, str) else (there, back)

    def _read(self, reply: Reply) -> tuple[Preferred, str | None]:
        thoughts = self._settings.thoughts
        return read_choice(reply.text, self._rubric, cut=reply.cut, thoughts=thoughts)

    def _preference(
        self,
        there: tuple[Preferred, str | None] | Failed,
        back: tuple[Preferred, str | None] | Failed,
    ) -> Preference | Unscored:
        for each in (there, back):
            if isinstance(each, Failed):
                return unscored(each, self.version)
        assert not isinstance(there, Failed)
        assert not isinstance(back, Failed)
        orders = there[0], _other(back[0])
        if orders[0] == orders[1]:
            return Preference(orders[0], orders, there[1], self.version)
        return Preference("tie", orders, _DISAGREE, self.version)


def position_bias(preferences: Iterable[Preference]) -> PositionBias:
    """Count how often a judge's preferences followed the position."""
    counts = {"agreed": 0, "first_place": 0, "second_place": 0, "half_tied": 0}
    for each in preferences:
        there, back = each.orders
        if there == back:
            counts["agreed"] += 1
        elif "tie" in each.orders:
            counts["half_tied"] += 1
        else:
            counts[f"{there}_place"] += 1
    return PositionBias(**counts)


def _other(shown: Preferred) -> Preferred:
    """Return the edit shown at a position when the two edits were swapped."""
    swapped: dict[Preferred, Preferred] = {"first": "second", "second": "first", "tie": "tie"}
    return swapped[shown]


def _sheet_of(comparison: Comparison) -> Sheet:
    pictures = {"source": comparison.source, "first": comparison.first, "second": comparison.second}
    return Sheet(comparison.id, pictures, {"instruction": comparison.instruction})
