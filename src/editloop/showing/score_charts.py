"""The distribution of scores, in numbers and as a chart."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from editloop.showing.figures import PALETTE, Axis, bars

__all__ = ["below_highest", "histogram", "score_chart"]

_STEPS = 10  # half points on a scale of five
_TICKS = 5  # labelled intervals of the scale
_DIGITS = 3


def histogram(counts: Mapping[float, int], low: float, high: float) -> dict[float, int]:
    """Count scores by the nearest tenth of the range from `low` to `high`, or beyond it."""
    step = (high - low) / _STEPS
    bins = {round(low + at * step, _DIGITS): 0 for at in range(_STEPS + 1)}
    for value, count in counts.items():
        nearest = round(low + round((value - low) / step) * step, _DIGITS)
        bins[nearest] = bins.get(nearest, 0) + count
    return dict(sorted(bins.items()))


def below_highest(bins: Mapping[float, int], high: float) -> float:
    """Return the share of scores in the bins below `high`."""
    return sum(count for value, count in bins.items() if value < high) / sum(bins.values())


def score_chart(
    name: str, bins: Mapping[float, int], low: float, high: float
) -> tuple[str, Markup]:
    """Return a note with the share below the highest score, and a chart of `histogram`'s bins."""
    total = sum(bins.values())
    note = f"{100 * below_highest(bins, high):.0f}% of {total:,} below {high:g}"
    ticks = [low + at * (high - low) / _TICKS for at in range(_TICKS + 1)]
    counted = ", ".join(f"{value:g}: {count}" for value, count in bins.items() if count)
    axis = Axis(x="score", percent=True, ticks=ticks)
    step = (high - low) / _STEPS
    return note, bars(bins, axis, PALETTE[3], f"{name} rewards ({counted})", step=step)
