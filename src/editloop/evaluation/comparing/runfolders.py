"""Read finished runs for a comparison: their results, and every case's numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from editloop.errors import CorruptError, RecipeError, StoreError
from editloop.evaluation.answers.case_table import CASES_FILE, case_files
from editloop.schema import Json
from editloop.storage.files import explained
from editloop.storage.manifests import find_manifest
from editloop.storage.parquet import read_batches

__all__ = ["CaseKey", "EditorCases", "RunFolder", "open_runs", "read_cases_of"]

CaseKey = tuple[str, int]  # a case's id and turn

_EVALUATION = "evaluation"
_FACTS = ("editor", "id", "session", "turn", "group", "unedited")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run: its folder, a short name that is unique in the comparison, and its `results.json`."""

    path: Path
    name: str
    results: Mapping[str, Json]

    @property
    def scores(self) -> Mapping[str, Json]:
        """The estimates: benchmark -> editor -> metric -> estimate."""
        found: Mapping[str, Json] = self.results.get(_EVALUATION, {})
        return found

    def facts(self, benchmark: str) -> Mapping[str, Json]:
        """Return a benchmark's facts (protocol, data, ...); StoreError without a fingerprint."""
        facts: Mapping[str, Json] = self.results.get("benchmarks", {}).get(benchmark, {})
        if not facts.get("fingerprint"):
            raise StoreError(
                f"the run has no fingerprint for the benchmark {benchmark!r}",
                value=self.path,
                fix="evaluate again: only numbers with a protocol's fingerprint can be compared",
            )
        return facts


@dataclass(frozen=True, slots=True, eq=False)
class EditorCases:
    """One editor's cases of one benchmark; `values` is [cases, metrics], NaN where unscored.

    `groups` are the data set's own kinds of edit.
    """

    keys: tuple[CaseKey, ...]
    sessions: tuple[str | None, ...]
    groups: tuple[str | None, ...]
    answered: NDArray[np.bool_]  # [cases]
    values: NDArray[np.float64]


def open_runs(folders: Sequence[Path]) -> list[RunFolder]:
    """Open the runs in these folders, named by the shortest path endings that are all different.

    Raises RecipeError where a folder is given twice, StoreError where one holds no complete run.
    """
    paths = [Path(folder) for folder in folders]
    return [
        RunFolder(path, name, _results(path))
        for path, name in zip(paths, _short_names(paths), strict=True)
    ]


def _short_names(paths: Sequence[Path]) -> list[str]:
    parts = [path.resolve().parts for path in paths]
    for path, own in zip(paths, parts, strict=True):
        if parts.count(own) > 1:
            raise RecipeError("a run is named twice", value=path, fix="give each run once")
    depth = 1
    while len({each[-depth:] for each in parts}) < len(parts):
        depth += 1
    return ["/".join(each[-depth:]) for each in parts]


def _results(path: Path) -> dict[str, Json]:
    source = path / "results.json"
    if not source.is_file():
        raise StoreError(
            "no results in this folder", value=path, fix="give the folder of a finished evaluation"
        )
    with explained("read a run's results", source):
        data = source.read_bytes()
    try:
        results = json.loads(data)
        whole = bool(results.get(_EVALUATION))
    except (ValueError, AttributeError) as error:
        raise CorruptError(
            "a run's results cannot be read", value=source, fix=f"evaluate again ({error})"
        ) from error
    if not whole:
        raise StoreError(
            "this run has evaluated nothing yet",
            value=path,
            fix="evaluate first: `editloop evaluate ... --out DIR`, or `editloop run RECIPE`",
        )
    return dict(results)


def read_cases_of(run: RunFolder, benchmark: str, metrics: Sequence[str]) -> dict[str, EditorCases]:
    """Read every editor's cases of a benchmark; editors that were unavailable have none.

    Raises StoreError where the tables are missing or their counts differ from the results'.
    """
    tables = [
        table for path in _case_files(run) if (table := _table(path, benchmark, metrics)).num_rows
    ]
    found: dict[str, EditorCases] = {}
    if tables:
        table = pa.concat_tables(tables)
        for editor in table["editor"].unique().to_pylist():
            found[editor] = _editor_cases(table.filter(pc.equal(table["editor"], editor)), metrics)
    for editor, scores in run.scores[benchmark].items():
        counted = _counts(found.get(editor), metrics)
        stated = {metric: scores.get(metric, {}).get("count", 0) for metric in metrics}
        for metric in (each for each in metrics if stated[each] != counted[each]):
            raise StoreError(
                f"the run's results and its table of cases differ: {benchmark}, {editor}, {metric}",
                value=f"{run.path}: {stated[metric]} cases and {counted[metric]}",
                fix="evaluate again: finished edits are reused",
            )
    return found


def _case_files(run: RunFolder) -> Iterator[Path]:
    paths = case_files(run.path)
    if not paths:
        raise StoreError(
            "the run's tables of cases are missing",
            value=run.path / _EVALUATION / "*" / CASES_FILE,
            fix="copy the complete run folder, or evaluate again",
        )
    for path in paths:
        manifest = find_manifest(run.path, f"{_EVALUATION}/{path.parent.name}")
        if manifest is not None and not manifest.in_place(run.path):
            raise StoreError(
                "the run's published files are incomplete",
                value=path.parent,
                fix=f"run `editloop verify {run.path}`, then evaluate again",
            )
        yield path


def _table(path: Path, benchmark: str, metrics: Sequence[str]) -> pa.Table:
    """Read a benchmark's rows with the given metrics; a metric missing in the file is all null."""
    schema = pa.schema(
        [
            *((name, pa.int32() if name == "turn" else pa.string()) for name in _FACTS),
            *((metric, pa.float64()) for metric in metrics),
        ]
    )
    with explained("read a benchmark's cases", path), path.open("rb") as handle:
        kept = [
            batch.filter(pc.equal(batch["benchmark"], benchmark))
            for batch in read_batches(handle, path, ["benchmark", *schema.names])
        ]
    if not kept:
        return schema.empty_table()
    table = pa.Table.from_batches(kept)
    for name in set(schema.names) - set(table.schema.names):
        table = table.append_column(name, pa.nulls(table.num_rows))
    return table.select(schema.names).cast(schema)


def _editor_cases(table: pa.Table, metrics: Sequence[str]) -> EditorCases:
    values = [table[name].to_numpy(zero_copy_only=False) for name in metrics]
    ids, turns = table["id"].to_pylist(), table["turn"].to_pylist()
    return EditorCases(
        keys=tuple(zip(ids, turns, strict=True)),
        sessions=tuple(table["session"].to_pylist()),
        groups=tuple(table["group"].to_pylist()),
        answered=table["unedited"].is_null().to_numpy(zero_copy_only=False),
        values=np.stack(values, axis=1).astype(np.float64)
        if metrics
        else np.empty((table.num_rows, 0)),
    )


def _counts(cases: EditorCases | None, metrics: Sequence[str]) -> dict[str, int]:
    """Return, by metric, the number of cases that have a number."""
    if cases is None:
        return dict.fromkeys(metrics, 0)
    present = (~np.isnan(cases.values)).sum(axis=0)
    return dict(zip(metrics, present.tolist(), strict=True))
