"""Compare runs; the Python call behind `editloop compare`.

Only numbers of the same protocol, data and seed are put into one table: runs whose fingerprints of
a benchmark differ are refused, with a list of the known differences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from editloop.errors import RecipeError, StoreError, known_names
from editloop.evaluation.comparing.pairing import BenchmarkComparison, Pairing, compare_benchmark
from editloop.evaluation.comparing.runfolders import RunFolder, open_runs
from editloop.schema import Json
from editloop.showing.labels import ordered
from editloop.storage.versions import differences

__all__ = ["Comparison", "compare_runs"]

_FEWEST_RESAMPLES = 100


@dataclass(frozen=True, slots=True)
class Comparison:
    """The compared runs by their short names, and every benchmark that any of them has."""

    runs: Mapping[str, Path]
    benchmarks: tuple[BenchmarkComparison, ...]
    seed: int
    resamples: int

    def to_json(self) -> dict[str, Json]:
        """Return it as JSON; `benchmarks.<name>` has `scores.<editor>.<metric>`, `differences`."""
        return {
            "runs": {name: path.as_posix() for name, path in self.runs.items()},
            "benchmarks": {each.name: asdict(each) for each in self.benchmarks},
            "seed": self.seed,
            "resamples": self.resamples,
        }


def compare_runs(
    folders: Sequence[Path],
    *,
    metrics: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = 1000,
) -> Comparison:
    """Compare every editor of the runs in these folders, on `metrics` (all, if None).

    Raises StoreError where two runs of a benchmark have different fingerprints or metric versions,
    where no benchmark is in two runs, and where a run is incomplete; RecipeError for wrong
    arguments.
    """
    if not folders:
        raise RecipeError("there is nothing to compare", fix="give the folders of the runs")
    if resamples < _FEWEST_RESAMPLES:
        raise RecipeError(
            "too few resamples for an interval",
            value=resamples,
            fix=f"use at least {_FEWEST_RESAMPLES}",
        )
    runs = open_runs(folders)
    _check_metrics(runs, metrics or ())
    having = {
        name: [run for run in runs if name in run.scores]
        for name in dict.fromkeys(name for run in runs for name in run.scores)
    }
    _check_shared(runs, having)
    _check_same(having, metrics)
    pairing = Pairing(metrics, seed, resamples)
    made = [
        compare_benchmark(name, those, pairing, [run.name for run in runs if run not in those])
        for name, those in having.items()
    ]
    return Comparison({run.name: run.path for run in runs}, tuple(made), seed, resamples)


def _check_metrics(runs: Sequence[RunFolder], metrics: Sequence[str]) -> None:
    estimates = [
        scores for run in runs for editors in run.scores.values() for scores in editors.values()
    ]
    known = ordered({metric for scores in estimates for metric in scores})
    for metric in metrics:
        if metric not in known:
            fix = known_names(metric, known)
            raise RecipeError("no run has this metric", value=metric, fix=fix)


def _check_shared(runs: Sequence[RunFolder], having: Mapping[str, Sequence[RunFolder]]) -> None:
    if len(runs) > 1 and all(len(those) == 1 for those in having.values()):
        lines = [f"{run.name}: {', '.join(run.scores)}" for run in runs]
        raise StoreError(
            "these runs have no benchmark in common",
            value="\n  ".join(["", *lines]),
            fix="evaluate all editors with the same protocol, then compare",
        )


def _check_same(having: Mapping[str, Sequence[RunFolder]], metrics: Sequence[str] | None) -> None:
    """Raise StoreError if two runs of a benchmark were made differently; list the differences."""
    lines = []
    for name, (first, *others) in having.items():
        for other in others:
            old, new = first.facts(name), other.facts(name)
            found = _other_metrics(old, new, metrics)
            if old["fingerprint"] != new["fingerprint"]:
                found = [*_differing(old, new), *found]
            if found:
                prints = f"{first.name} {old['fingerprint']}, {other.name} {new['fingerprint']}"
                lines += [f"{name}: {prints}", *(f"  {line}" for line in found)]
    if lines:
        raise StoreError(
            "numbers of different protocols, data or settings cannot share a table",
            value="\n  ".join(["", *lines]),
            fix="evaluate again with the same protocol, data, settings and metrics",
        )


def _other_metrics(
    old: Mapping[str, Json], new: Mapping[str, Json], metrics: Sequence[str] | None
) -> list[str]:
    """Return the differences between the versions of the metrics that both runs have."""
    first, second = (facts.get("metrics", {}).get("versions", {}) for facts in (old, new))
    both = [name for name in first if name in second and (metrics is None or name in metrics)]
    return [line for name in both for line in differences(first[name], second[name], name)]


def _differing(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[str]:
    """Return the recorded differences between two runs; older runs record fewer facts."""
    found: list[str] = []
    for key in ("protocol", "made_from", "cases", "left_out", "photos"):
        if key in old and key in new:
            found += differences(old[key], new[key], "" if key == "made_from" else key)
    return found or ["what differs is not recorded: settings, metrics, or a version of either"]
