"""Everything that is measured of an edited picture, as numbers under fixed names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from editloop.evaluation.answers.judgements import NO_VERDICT, combined, passed
from editloop.metrics import pixels
from editloop.metrics.metric_set import Chosen, MetricSet, Numbers
from editloop.metrics.pixels import PIXEL_METRICS, measure_pixels
from editloop.schema import (
    PERSPECTIVES,
    EditedPair,
    Json,
    Judge,
    Score,
    Unscored,
    Verdict,
)

__all__ = ["Measures"]

_GIVEN = "_given_following"


class Measures:
    """A judge's perspectives, the pixel measures and any further metrics, taken together.

    A perspective gives two numbers, `NAME_accuracy` (1 or 0: it passed or not) and `NAME_score`
    (0 to 5). Doing nothing preserves well, so they are also taken over the cases where the edit was
    followed: `NAME_accuracy_given_following`. `all_accuracy` is 1 where every perspective passed.
    """

    def __init__(self, judge: Judge, metrics: Mapping[str, Chosen] | None = None) -> None:
        self._judge = judge
        self._metrics = MetricSet(metrics or {})

    @property
    def names(self) -> tuple[str, ...]:
        """The numbers' names, in the order in which tables show them."""
        accuracies = [name for each in PERSPECTIVES for name in _both(each)]
        joint = [f"{name}{_GIVEN}" for each in PERSPECTIVES[1:] for name in _both(each)]
        return (*accuracies, "all_accuracy", *joint, *PIXEL_METRICS, *self._metrics.names)

    @property
    def texts(self) -> tuple[str, ...]:
        """The numbers that come with words."""
        return tuple(f"{name}_score" for name in PERSPECTIVES)

    @property
    def needs(self) -> frozenset[str]:
        """The judge and the pixel measures look at everything."""
        return frozenset({"source", "edited", "target", "mask", "captions"})

    @property
    def parameters(self) -> dict[str, Json]:
        """What the numbers depend on, besides the pictures."""
        return {
            "judge": [self._judge.name, self._judge.version],
            "metrics": self._metrics.parameters,
            "pixels": pixels.VERSION,
        }

    @property
    def at_once(self) -> None:
        """A judge is shown all pairs of a chunk together."""
        return None

    def begin(self, batch: Sequence[EditedPair]) -> Callable[[], Numbers]:
        """`measure`, as something that is called later."""
        found = self.measure(batch)
        return lambda: found

    def measure(self, batch: Sequence[EditedPair]) -> Numbers:
        """Every number of each pair: a score, or why there is none."""
        verdicts, further = self._judge.judge(batch), self._metrics.measure(batch)
        return [
            {**_of_verdict(verdict), **measure_pixels(pair), **others}
            for pair, verdict, others in zip(batch, verdicts, further, strict=True)
        ]


def _both(perspective: str) -> tuple[str, str]:
    return f"{perspective}_accuracy", f"{perspective}_score"


def _of_verdict(verdict: Verdict) -> dict[str, Score | Unscored]:
    """A verdict as numbers, each perspective alone and jointly with following."""
    numbers: dict[str, Score | Unscored] = {}
    for name in PERSPECTIVES:
        accuracy, score = _both(name)
        found = verdict.get(name, NO_VERDICT)
        numbers[accuracy], numbers[score] = passed(found), found
    followed = numbers["following_accuracy"]
    for name in (name for each in PERSPECTIVES[1:] for name in _both(each)):
        numbers[name + _GIVEN] = _given(numbers[name], followed)
    accuracies = [numbers[f"{name}_accuracy"] for name in PERSPECTIVES]
    numbers["all_accuracy"] = combined(accuracies, min)
    return numbers


def _given(number: Score | Unscored, followed: Score | Unscored) -> Score | Unscored:
    if isinstance(followed, Unscored):
        return followed
    return number if followed.value == 1 else Unscored("the edit was not followed")
