"""Statistics of a data set's scores, row by row: distributions, words, means with intervals.

Follows section 3 of the Multi-Reward paper (arXiv:2411.04713): the distribution of the scores
(Figure 3), the share below the highest, and the words of the texts (Figure 4).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from editloop.judges.calibration.scales import SCALES
from editloop.quality.rewards.wording import words_of
from editloop.runtime.seeding import generator
from editloop.schema import CLEAN_TEXT, Json
from editloop.showing.labels import ordered
from editloop.showing.score_charts import below_highest, histogram
from editloop.statistics.means import slice_rows
from editloop.statistics.running_means import RunningMeans
from editloop.storage.parquet import read_rows
from editloop.storage.samples import published_files

__all__ = ["SplitTally", "tally_split"]

_CHUNK = 1000  # rows whose means are summed at a time
_ROUND = (1.0, 5.0, 10.0, 100.0)  # possible highest scores of a scale that is not declared
_DIGITS = 3  # scores are rounded to these before they are counted
_MOST_WORDS = 100
_MOST_REASONS = 20
_ALL = ("", "")


@dataclass(slots=True)
class _Tally:
    """One perspective's scores, counted."""

    values: Counter[float] = field(default_factory=Counter)
    passed: Counter[bool] = field(default_factory=Counter)
    unscored: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    texts: int = 0
    clean: int = 0

    def add(self, score: Json) -> None:
        self.versions[score["version"] or "unknown"] += 1
        if score["value"] is None:
            self.unscored[score["reason"] or "unknown"] += 1
            return
        self.values[round(score["value"], _DIGITS)] += 1
        if score["passed"] is not None:
            self.passed[score["passed"]] += 1
        if score["text"] == CLEAN_TEXT:
            self.clean += 1
        elif score["text"]:
            self.texts += 1
            self.words.update(words_of(score["text"]))

    def to_json(self, name: str) -> dict[str, Json]:
        low, high = _scale(name, self.values)
        bins = histogram(self.values, low, high)
        scored = self.values.total()
        return {
            "scored": scored,
            "unscored": _common(self.unscored, _MOST_REASONS),
            "versions": _common(self.versions, _MOST_REASONS),
            "scale": [low, high],
            "histogram": [[value, count] for value, count in bins.items()],
            "below_highest": round(below_highest(bins, high), 6) if scored else None,
            "clean": self.clean,
            "texts": self.texts,
            "words": [list(each) for each in _common(self.words, _MOST_WORDS).items()],
        }


@dataclass(slots=True)
class SplitTally:
    """The statistics of a split: scores by name, and means of all edits and of each edit type."""

    samples: int
    types: dict[str, int]
    scores: dict[str, Json]
    means: dict[str, Json]

    def to_json(self) -> dict[str, Json]:
        return {
            "samples": self.samples,
            "types": self.types,
            "scores": self.scores,
            "means": self.means,
        }


def tally_split(data: Path, split: str, *, seed: int, resamples: int) -> SplitTally:
    """Compute the statistics of a published split; its pictures are not read.

    `means` has NAME_score, and NAME_accuracy where the judge says yes or no: of `all`, and by
    `types`. The intervals come from a bootstrap over whole sessions.
    """
    types: Counter[str] = Counter()
    tallies: dict[str, _Tally] = defaultdict(_Tally)
    samples = 0
    for row in _rows(data, split):
        samples += 1
        if row["edit_type"] is not None:
            types[row["edit_type"]] += 1
        for score in row["scores"] or ():
            tallies[score["name"]].add(score)
    names = ordered(tallies)
    return SplitTally(
        samples,
        dict(sorted(types.items())),
        {name: tallies[name].to_json(name) for name in names},
        _means(_rows(data, split), _metrics(names, tallies), seed, resamples),
    )


def _scale(name: str, values: Counter[float]) -> tuple[float, float]:
    """Return a perspective's range: as declared, or the smallest round one with all its values."""
    if name in SCALES:
        return SCALES[name].low, SCALES[name].high
    largest = max(map(abs, values), default=0.0)
    high = next((top for top in _ROUND if largest <= top), largest)
    return (-high if any(value < 0 for value in values) else 0.0), high


def _common(counts: Counter[str], most: int) -> dict[str, int]:
    """Return the most frequent entries, ties ordered by name."""
    ranked = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return dict(ranked[:most])


def _rows(data: Path, split: str) -> Iterator[Json]:
    for path in published_files(data, split):
        yield from read_rows(path, ["id", "session", "edit_type", "scores"], what="a data set")


def _metrics(names: Sequence[str], tallies: dict[str, _Tally]) -> dict[str, tuple[str, str]]:
    """Return metrics, each with the name of its score and the field that it averages.

    The order is that of a protocol's judge: accuracy before score.
    """
    found: dict[str, tuple[str, str]] = {}
    for name in names:
        if tallies[name].passed:
            found[f"{name}_accuracy"] = name, "passed"
        found[f"{name}_score"] = name, "value"
    return found


def _means(
    rows: Iterable[Json], metrics: dict[str, tuple[str, str]], seed: int, resamples: int
) -> dict[str, Json]:
    means = RunningMeans(list(metrics), resamples)
    types: set[str] = set()
    for at, chunk in enumerate(_chunks(rows)):
        values = np.full((len(chunk), len(metrics)), np.nan)
        for column, (metric, (name, part)) in enumerate(metrics.items()):
            numbers = [_number(row, name, part) for row in chunk]
            values[:, column] = [np.nan if isinstance(each, str) else each for each in numbers]
            means.explain(metric, (each for each in numbers if isinstance(each, str)))
        by_type = slice_rows([row["edit_type"] for row in chunk])
        slices: dict[Hashable, NDArray[np.intp]] = {_ALL: np.arange(len(chunk))}
        slices |= {("type", value): index for value, index in by_type.items()}
        types |= set(by_type)
        groups = [row["session"] or row["id"] for row in chunk]
        means.add(values, groups, slices, generator(seed, "rewards", at))
    return {
        "all": means.summary(_ALL),
        "types": {value: means.summary(("type", value)) for value in sorted(types)},
    }


def _number(row: Json, name: str, part: str) -> float | str:
    """Return a row's score (yes or no as 1 or 0), or the reason why there is none."""
    score = next((each for each in row["scores"] or () if each["name"] == name), None)
    if score is None:
        return "the sample was not judged"
    if score[part] is None:
        return str(score["reason"] or "the judge said neither yes nor no")
    return float(score[part])


def _chunks(rows: Iterable[Json]) -> Iterator[list[Json]]:
    """Yield chunks of about `_CHUNK` rows, at least one chunk; a session is never split."""
    held: list[Json] = []
    for row in rows:
        goes_on = held and row["session"] is not None and row["session"] == held[-1]["session"]
        if len(held) >= _CHUNK and not goes_on:
            yield held
            held = []
        held.append(row)
    yield held
