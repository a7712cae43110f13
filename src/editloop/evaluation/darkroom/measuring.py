"""All measures of an edited picture in the darkroom benchmark, under fixed names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from editloop.evaluation.answers.judgements import combined, passed
from editloop.judges.missing_verdicts import NO_VERDICT
from editloop.kernel.resources import Resources
from editloop.metrics import pixels
from editloop.metrics.metric_set import Chosen, MetricSet, Numbers
from editloop.metrics.pixels import PIXEL_METRICS, measure_pixels
from editloop.schema import PERSPECTIVES, Cause, EditedPair, Json, Judge, Score, Unscored, Verdict

__all__ = ["Measures"]

_GIVEN = "_given_following"


class Measures:
    """A judge's perspectives, the pixel measures and any further metrics.

    A perspective gives two numbers, `NAME_accuracy` (1 or 0: passed or not) and `NAME_score` (0 to
    5). An editor that changes nothing preserves well, so both are also taken over the cases where
    the instruction was followed: `NAME_accuracy_given_following`. `all_accuracy` is 1 where every
    perspective passed.
    """

    def __init__(self, judge: Judge, metrics: Mapping[str, Chosen] | None = None) -> None:
        self._judge = judge
        self._metrics = MetricSet(metrics or {})

    @property
    def names(self) -> tuple[str, ...]:
        """The numbers' names, in the order of the tables."""
        accuracies = [name for each in PERSPECTIVES for name in _both(each)]
        joint = [f"{name}{_GIVEN}" for each in PERSPECTIVES[1:] for name in _both(each)]
        return (*accuracies, "all_accuracy", *joint, *PIXEL_METRICS, *self._metrics.names)

    @property
    def texts(self) -> tuple[str, ...]:
        """The names of the numbers that come with a text."""
        return tuple(f"{name}_score" for name in PERSPECTIVES)

    @property
    def needs(self) -> frozenset[str]:
        """The fields of EditedPair that are read: all, for the judge and the pixel measures."""
        return frozenset({"source", "edited", "target", "mask", "captions"})

    @property
    def parameters(self) -> dict[str, Json]:
        """Everything that the numbers depend on, besides the pictures."""
        return {
            "judge": [self._judge.name, self._judge.version],
            "metrics": self._metrics.parameters,
            "pixels": pixels.VERSION,
        }

    @property
    def at_once(self) -> None:
        """None: the judge gets all pairs of a chunk together."""
        return None

    @property
    def resources(self) -> Resources:
        """Those of the further metrics; the judge and the pixel measures need one core."""
        return self._metrics.resources

    @property
    def counts(self) -> dict[str, int]:
        """Nothing: no embedding store is used."""
        return {}

    def begin(self, batch: Sequence[EditedPair]) -> Callable[[], Numbers]:
        """Measure the pairs at once; return a function that returns the numbers."""
        found = self.measure(batch)
        return lambda: found

    def measure(self, batch: Sequence[EditedPair]) -> Numbers:
        """Return every number of each pair: a score, or the reason why it is unscored."""
        verdicts, further = self._judge.judge(batch), self._metrics.measure(batch)
        return [
            {**_of_verdict(verdict), **measure_pixels(pair), **others}
            for pair, verdict, others in zip(batch, verdicts, further, strict=True)
        ]


def _both(perspective: str) -> tuple[str, str]:
    return f"{perspective}_accuracy", f"{perspective}_score"


def _of_verdict(verdict: Verdict) -> dict[str, Score | Unscored]:
    """Convert a verdict to numbers, each perspective alone and given that it followed."""
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
    return (
        number
        if followed.value == 1
        else Unscored("the edit was not followed", cause=Cause.NOT_MEASURABLE)
    )
