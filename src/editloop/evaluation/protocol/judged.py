"""Convert a judge's verdicts to a protocol's numbers: scores, and pass or fail."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from PIL import Image, ImageOps

from editloop.errors import RecipeError
from editloop.evaluation.answers.judgements import combined, passed
from editloop.evaluation.protocol.card import Derived, JudgeCard, Perspective
from editloop.judges.missing_verdicts import NO_VERDICT
from editloop.schema import Cause, EditedPair, Json, Judge, Pixels, Score, Unscored

__all__ = ["NO_JUDGE", "Judged", "check_judge"]

NO_JUDGE = "no judge was given"


class Judged:
    """The numbers of a protocol's judge, and those derived from them.

    A perspective gives `NAME_score` and `NAME_accuracy` if the judge also says pass or fail,
    otherwise `NAME`. Without a judge all numbers are unscored, with that reason.
    """

    def __init__(self, card: JudgeCard, judge: Judge | None) -> None:
        self._card = card
        self._judge = judge

    @property
    def names(self) -> tuple[str, ...]:
        """The numbers' names, in the card's order."""
        own = [name for key, each in self._card.perspectives.items() for name in _names(key, each)]
        return (*own, *self._card.derived)

    @property
    def texts(self) -> tuple[str, ...]:
        """The names of the numbers that come with a text."""
        return tuple(_names(key, each)[-1] for key, each in self._card.perspectives.items())

    @property
    def parameters(self) -> Json:
        """The card's rules, and the judge's name and version."""
        judge = None if self._judge is None else [self._judge.name, self._judge.version]
        return {"card": self._card.model_dump(mode="json"), "judge": judge}

    def measure(self, batch: Sequence[EditedPair]) -> list[dict[str, Score | Unscored]]:
        """Return every number of each pair."""
        if self._judge is None:
            return [dict.fromkeys(self.names, Unscored(NO_JUDGE, cause=Cause.UNAVAILABLE))] * len(
                batch
            )
        verdicts = self._judge.judge([self._shown(pair) for pair in batch])
        return [self._numbers(verdict) for verdict in verdicts]

    def _shown(self, pair: EditedPair) -> EditedPair:
        """Return the pair as the judge sees it, by the card's `sizes` and `height`.

        Target and mask are removed.
        """
        source, edited = pair.source, pair.edited
        height, width = source.shape[:2]
        if self._card.sizes == "fitted":
            source = _fitted(source, *edited.shape[:2])
        if self._card.height is not None:
            # Real-Edit's evaluator rounds the width down.
            size = self._card.height, max(1, int(width * self._card.height / height))
            source, edited = _resized(source, *size), _resized(edited, *size)
        elif self._card.sizes == "source":
            edited = _resized(edited, height, width)
        return replace(pair, source=source, edited=edited, target=None, mask=None)

    def _numbers(self, verdict: Mapping[str, Score | Unscored]) -> dict[str, Score | Unscored]:
        numbers: dict[str, Score | Unscored] = {}
        values: dict[str, Score | Unscored] = {}
        for key, each in self._card.perspectives.items():
            score = _in_range(verdict.get(key, NO_VERDICT), each)
            values[key] = numbers[_names(key, each)[-1]] = score
            if each.passes:
                numbers[_names(key, each)[0]] = passed(score)
        for key, derived in self._card.derived.items():
            found = [values[name] for name in derived.of]
            values[key] = numbers[key] = combined(found, partial(_derived, derived))
        return numbers


def check_judge(card: JudgeCard, judge: Judge) -> None:
    """Raise RecipeError if the judge is pairwise, or scores on another scale than the card's."""
    if not hasattr(judge, "judge"):
        raise RecipeError(
            "this judge compares two edits and scores none",
            value=judge.name,
            fix="use another judge; this one works with `editloop compare RUN RUN --judge ...`",
        )
    for name, scale in getattr(judge, "scales", {}).items():
        due = card.perspectives.get(name)
        if due is not None and scale != (due.low, due.high):
            raise RecipeError(
                f"the judge scores {name} from {scale[0]:g} to {scale[1]:g}, the protocol from "
                f"{due.low:g} to {due.high:g}",
                value=judge.name,
                fix="use a model judge with the protocol's own rubrics, or a rubric of that scale",
            )


def _names(key: str, perspective: Perspective) -> tuple[str, ...]:
    return (f"{key}_accuracy", f"{key}_score") if perspective.passes else (key,)


def _in_range(score: Score | Unscored, allowed: Perspective) -> Score | Unscored:
    if isinstance(score, Score) and not allowed.low <= score.value <= allowed.high:
        limits = f"{allowed.low:g}..{allowed.high:g}"
        return Unscored(
            f"out of range: {score.value:g} is not in {limits}", score.version, Cause.OUT_OF_RANGE
        )
    return score


def _derived(derived: Derived, numbers: Sequence[float]) -> float:
    value = _WAYS[derived.how](numbers)
    return value if derived.decimals is None else round(value, derived.decimals)


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def _geometric_mean(numbers: Sequence[float]) -> float:
    return float(math.prod(numbers) ** (1 / len(numbers)))


_WAYS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "mean": _mean,
    "geometric-mean": _geometric_mean,
}


def _fitted(pixels: Pixels, height: int, width: int) -> Pixels:
    """Return a picture cropped and resized as InstructPix2Pix's command does before it edits."""
    if pixels.shape[:2] == (height, width):
        return pixels
    image = ImageOps.fit(Image.fromarray(pixels), (width, height), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _resized(pixels: Pixels, height: int, width: int) -> Pixels:
    if pixels.shape[:2] == (height, width):
        return pixels
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)
