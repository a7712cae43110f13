"""Views of results and timings for the report's template: plain values, in reading order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markupsafe import Markup

from editloop.evaluation.answers.case_table import StoredPicture
from editloop.evaluation.report.roster import colours_of, editors_of
from editloop.evaluation.report.rundata import Curve
from editloop.images.codec import decode
from editloop.schema import PERSPECTIVES, Json
from editloop.showing.cards import Card
from editloop.showing.curves import turn_chart
from editloop.showing.figures import PALETTE, Axis, Line, lines
from editloop.showing.labels import label, ordered
from editloop.showing.score_charts import histogram, score_chart
from editloop.showing.survey import Survey
from editloop.showing.tables import Table, by_metric, by_slice, main_metrics
from editloop.showing.thumbnails import Picture, sheet

__all__ = [
    "BenchmarkView",
    "Spent",
    "benchmarks",
    "duration",
    "looks",
    "losses",
    "rewards",
    "spent",
]

_SLICED = ("following_accuracy", "l1")
_DRIFT = ("following_accuracy", "all_accuracy", "l1", "ssim")
_NO_FACTS: Json = {"cases": 0, "editors": [], "fingerprint": "", "left_out": {}, "photos": []}
_ORDER = {"build": 1, "models": 2, "evaluation": 3}
_POINTS = 400  # the most points drawn of a loss curve
_REWARDS = (0.0, 5.0)  # the lowest and highest score


@dataclass(slots=True)
class BenchmarkView:
    """One benchmark's part of the page; `cards` are filled in by the report."""

    name: str
    facts: Mapping[str, Json]
    findings: Sequence[Json]
    colours: Mapping[str, str]
    table: Table
    everything: Table
    sliced: Sequence[tuple[str, str, Table]]  # axis, metric's label, table
    drift: Sequence[tuple[str, Markup]]
    cards: Sequence[Card] = field(default_factory=tuple)

    @property
    def editors(self) -> list[str]:
        """The editors in the benchmark's order."""
        return list(self.colours)


@dataclass(frozen=True, slots=True)
class Spent:
    """A step's time; `share` is in per cent of the longest, `level` is its nesting depth."""

    name: str
    seconds: float | None
    note: str
    level: int
    share: float = 0.0

    @property
    def took(self) -> str:
        """The time as text; empty if unknown."""
        return "" if self.seconds is None else duration(self.seconds)


def benchmarks(results: Mapping[str, Json]) -> list[BenchmarkView]:
    """Return the benchmarks without a protocol: single edits before sessions, masks last."""
    facts, colours = results.get("benchmarks", {}), colours_of(results)
    views = [
        _benchmark(name, scores, results, colours)
        for name, scores in results.get("evaluation", {}).items()
        if "protocol" not in facts.get(name, {})
    ]
    return sorted(views, key=lambda view: ("/mask" in view.name, bool(view.drift), view.name))


def _benchmark(
    name: str, scores: Mapping[str, Json], results: Mapping[str, Json], colours: Mapping[str, str]
) -> BenchmarkView:
    facts = {**_NO_FACTS, **results.get("benchmarks", {}).get(name, {})}
    editors = editors_of(scores, facts)
    metrics = ordered({metric for editor in editors for metric in scores[editor]})
    slices = results.get("slices", {}).get(name, {})
    own = {editor: colours[editor] for editor in editors}
    return BenchmarkView(
        name=name,
        facts=facts,
        findings=results.get("findings", {}).get(name, []),
        colours=own,
        table=by_metric(scores, editors, main_metrics(metrics)),
        everything=by_metric(scores, editors, metrics),
        sliced=[
            (axis, label(metric), by_slice(slices, editors, axis, metric))
            for axis in ("type", "photo")
            for metric in _SLICED
            if metric in metrics
        ],
        drift=[
            (label(metric), chart)
            for metric in _DRIFT
            if metric in metrics and (chart := turn_chart(slices, own, metric)) is not None
        ],
    )


def rewards(survey: Survey) -> list[tuple[str, str, Markup]]:
    """Return, for each perspective, its name, a note, and the distribution of its scores."""
    charts = []
    for name in PERSPECTIVES:
        counts = survey.scores.get(name)
        if not counts:
            continue
        note, chart = score_chart(name, histogram(counts, *_REWARDS), *_REWARDS)
        charts.append((name, note, chart))
    return charts


def losses(curves: Mapping[str, Curve]) -> list[tuple[str, str, Markup]]:
    """Return, for each model, its name, its last losses as text, and its loss chart."""
    return [
        (name, _last(curve), _loss_chart(name, curve))
        for name, curve in curves.items()
        if curve.losses
    ]


def looks(run: Path) -> list[Picture]:
    """Return each model's last sheet of sample edits from training."""
    pictures = []
    for folder in sorted((run / "models").glob("*/samples")):
        last = max(folder.glob("step-*.png"), default=None)
        if last is not None:
            sheets = run / "models"
            data = StoredPicture(sheets, last.relative_to(sheets).as_posix(), None).read()
            step = int(last.stem.removeprefix("step-"))
            text = f"{folder.parent.name} after {step:,} steps"
            pictures.append(sheet(text, decode(data), f"edits by {text}"))
    return pictures


def _last(curve: Curve) -> str:
    text = f"{int(curve.steps[-1]):,} steps, loss {_smooth(curve.losses)[-1]:.4f}"
    if curve.validation_losses:
        text += f", validation {curve.validation_losses[-1]:.4f}"
    return text


def _loss_chart(name: str, curve: Curve) -> Markup:
    stride = max(1, len(curve.steps) // _POINTS)
    steps, raw = curve.steps[::stride], curve.losses[::stride]
    drawn = [
        Line("each step", steps, raw, PALETTE[3], faint=True),
        Line("running mean", steps, _smooth(curve.losses)[::stride], PALETTE[3]),
    ]
    if curve.validation_losses:
        points = curve.validation_steps, curve.validation_losses
        drawn.append(Line("validation", *points, PALETTE[2], marked=True))
    # The high losses of the first steps would flatten the rest of the curve.
    settled = [*raw[len(raw) // 20 :], *curve.validation_losses]
    axis = Axis(x="step", y="loss", top=1.05 * max(settled))
    return lines(drawn, axis, f"loss of {name}: {_last(curve)}")


def _smooth(values: Sequence[float]) -> list[float]:
    """Return an exponential running mean over about a thirtieth of the curve."""
    keep = 1 - 1 / max(1.0, len(values) / 30)
    mean, smoothed = values[0], []
    for value in values:
        mean = keep * mean + (1 - keep) * value
        smoothed.append(mean)
    return smoothed


def spent(timings: Mapping[str, Json]) -> list[Spent]:
    """Return the times of the loop's parts, in order, each followed by its steps or editors."""
    parts = sorted(timings, key=lambda part: (_ORDER.get(part.partition("/")[0], 0), part))
    rows = [row for part in parts for row in _spent(part, timings[part], 0)]
    longest = max((row.seconds or 0 for row in rows), default=0) or 1
    return [
        Spent(
            row.name, row.seconds, row.note, row.level, round(100 * (row.seconds or 0) / longest, 1)
        )
        for row in rows
    ]


def _spent(name: str, entry: Json, level: int) -> Iterator[Spent]:
    if not isinstance(entry, Mapping):
        if isinstance(entry, int | float):
            yield Spent(name, float(entry), "", level)
        return
    counts = entry.get("encodes", {})
    entry = {key: value for key, value in entry.items() if key != "encodes"}
    seconds = {key: value for key, value in entry.items() if key.endswith("seconds")}
    total = entry.get("seconds", sum(seconds.values()) if seconds else None)
    parts = [
        f"{key.removesuffix('_seconds')} {duration(value)}"
        for key, value in seconds.items()
        if key != "seconds"
    ]
    plain = [
        f"{value:,} {key}"
        for key, value in entry.items()
        if isinstance(value, int | float) and key not in seconds
    ]
    counted = [f"{count:,} {what.replace('_', ' ')}" for what, count in counts.items() if count]
    yield Spent(name, total, ", ".join(plain + parts + counted), level)
    for value in entry.values():
        if isinstance(value, Mapping):
            for child, inner in value.items():
                yield from _spent(child, inner, level + 1)


def duration(seconds: float) -> str:
    """Format a time: `0.4 s`, `48 s`, `3 min 12 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
