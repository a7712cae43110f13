"""The page of a data set's rewards: `rewards.html`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from editloop.schema import Json
from editloop.showing.labels import label
from editloop.showing.pages import write_page
from editloop.showing.score_charts import score_chart
from editloop.showing.survey import survey
from editloop.showing.tables import Table, by_metric
from editloop.showing.triplets import Triplet, triplets

__all__ = ["SplitView", "write_rewards_page"]


@dataclass(frozen=True, slots=True)
class SplitView:
    """A split's part of the page: means, distributions, words, unscored edits, samples.

    A chart is a name, a note and the figure. Words are a name, a note and (word, count, count in
    per cent of the most frequent word's).
    """

    name: str
    table: Table
    by_type: Table
    charts: Sequence[tuple[str, str, Markup]]
    words: Sequence[tuple[str, str, Sequence[tuple[str, int, float]]]]
    unscored: Sequence[tuple[str, str, int]]
    triplets: Sequence[Triplet]


def write_rewards_page(
    results: Mapping[str, Json], run: Path, path: Path, samples: int, words: int
) -> None:
    """Write the page of `results`, showing `samples` samples of each split of the run's data."""
    views = [
        _view(name, found, _triplets(run / "data", name, samples), words)
        for name, found in results["splits"].items()
    ]
    counts = {split: f"{found['samples']:,}" for split, found in results["splits"].items()}
    write_page(
        path,
        "rewards.html",
        kind="rewards",
        title="Rewards of the data",
        tiles={f"edits in {split}": count for split, count in counts.items()},
        views=views,
        judges=_judges(results),
        results=results,
    )


def _judges(results: Mapping[str, Json]) -> list[str]:
    """Return the versions of the judges."""
    scores = [score for found in results["splits"].values() for score in found["scores"].values()]
    return sorted({version for score in scores for version in score["versions"]})


def _view(name: str, found: Mapping[str, Json], shown: Sequence[Triplet], words: int) -> SplitView:
    scores, means, counts = found["scores"], found["means"], found["types"]
    metrics = list(means["all"])
    types = {f"{value} ({counts[value]:,})": means["types"][value] for value in counts}
    return SplitView(
        name,
        by_metric({"all": means["all"]}, ["all"], metrics),
        by_metric(types, list(types), metrics),
        [_chart(key, score) for key, score in scores.items() if score["scored"]],
        [_words(key, score, words) for key, score in scores.items() if score["words"] and words],
        [
            (label(key), reason, count)
            for key, score in scores.items()
            for reason, count in score["unscored"].items()
        ],
        shown,
    )


def _triplets(data: Path, split: str, count: int) -> list[Triplet]:
    return triplets(data, split, survey(data, split, count).chosen) if count else []


def _chart(name: str, score: Mapping[str, Json]) -> tuple[str, str, Markup]:
    bins = dict(score["histogram"])
    return label(name), *score_chart(name, bins, *score["scale"])


def _words(
    name: str, score: Mapping[str, Json], most: int
) -> tuple[str, str, list[tuple[str, int, float]]]:
    """Return the most frequent words of a perspective's texts, and a note with the counts."""
    shown = score["words"][:most]
    top = shown[0][1]
    note = f"{score['texts']:,} texts, {score['clean']:,} edits without a fault"
    rows = [(word, count, round(100 * count / top, 1)) for word, count in shown]
    return label(name), note, rows
