"""What a benchmark leaves for its users: every picture, and every case's numbers.

cases.parquet                    a row for each benchmark, editor and case; the means in the
                                 results are the means of its columns
BENCHMARK/EDITOR/ID_TURN.png     the edited pictures
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from editloop.evaluation.cases import Case
from editloop.files import Files, explained
from editloop.parquet import TableWriter
from editloop.records import fingerprint
from editloop.schema import PERSPECTIVES, Json

__all__ = ["CASES_FILE", "CaseWriter", "frequent_reasons", "safe_name", "values_of"]

CASES_FILE = "cases.parquet"

_UNSCORED = pa.list_(pa.struct([("metric", pa.string()), ("reason", pa.string())]))
_FACTS = [
    ("benchmark", pa.string()),
    ("editor", pa.string()),
    ("id", pa.string()),
    ("session", pa.string()),
    ("turn", pa.int32()),
    ("edit_type", pa.string()),
    ("photo", pa.string()),
    ("instruction", pa.string()),
    ("picture", pa.string()),  # relative to the folder of the table
    ("unedited", pa.string()),  # why there is no picture
]


class CaseWriter:
    """Writes the table and the pictures into a benchmark's output folder."""

    def __init__(self, output: Path, metrics: Sequence[str]) -> None:
        self._output = output
        self._schema = pa.schema(
            [
                *_FACTS,
                *((metric, pa.float64()) for metric in metrics),
                *((f"{name}_text", pa.string()) for name in PERSPECTIVES),
                ("unscored", _UNSCORED),
            ]
        )
        with explained("write a benchmark's cases", output):
            output.mkdir(parents=True, exist_ok=True)
            self._writer = TableWriter(Files(), output / CASES_FILE, self._schema)

    def write(
        self, benchmark: str, editor: str, cases: Iterable[Case], answers: Iterable[Json]
    ) -> pa.Table:
        """Write one editor's answers to a benchmark; returns their rows of the table."""
        folder = Path(safe_name(benchmark.partition("/")[2]), safe_name(editor))
        with explained("write a benchmark's cases", self._output / folder):
            (self._output / folder).mkdir(parents=True, exist_ok=True)
            rows = [
                {
                    "benchmark": benchmark,
                    "editor": editor,
                    "picture": self._picture(folder, case, answer["edited"]),
                    **_row(case, answer),
                }
                for case, answer in zip(cases, answers, strict=True)
            ]
            table = pa.Table.from_pylist(rows, schema=self._schema)
            self._writer.write(table)
        return table

    def finish(self) -> None:
        """Close the table and prove that it reads back."""
        with explained("write a benchmark's cases", self._output):
            self._writer.finish()

    def _picture(self, folder: Path, case: Case, edited: bytes | None) -> str | None:
        if edited is None:
            return None
        path = folder / f"{safe_name(case.id)}_{case.turn}.png"
        (self._output / path).write_bytes(edited)
        return path.as_posix()


def safe_name(text: str) -> str:
    """A file name for any text: slashes become `__`, and what else is odd gives it a hash."""
    name = re.sub(r"[^\w.+=-]", "_", text.replace("/", "__"))[:120]
    if name.replace("__", "/") != text or name.startswith("."):
        return f"_{name}-{fingerprint(text)[:8]}"
    return name


def values_of(table: pa.Table, metrics: Sequence[str]) -> NDArray[np.float64]:
    """The numbers of a table, NaN where unscored: [cases, metrics]."""
    columns = [table[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in metrics]
    return np.stack(columns, axis=1)


def frequent_reasons(table: pa.Table) -> dict[str, str]:
    """By metric, why most of the cases without its number have none."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for unscored in table["unscored"].to_pylist():
        for item in unscored:
            counts[item["metric"]][item["reason"]] += 1
    return {metric: counter.most_common(1)[0][0] for metric, counter in counts.items()}


def _row(case: Case, answer: Json) -> dict[str, Json]:
    numbers = {number["name"]: number for number in answer["numbers"]}
    return {
        "id": case.id,
        "session": case.session,
        "turn": case.turn,
        "edit_type": None if case.edit_type is None else case.edit_type.value,
        "photo": case.photo,
        "instruction": case.instruction,
        "unedited": answer["unedited"],
        **{name: number["value"] for name, number in numbers.items()},
        **{f"{name}_text": numbers[f"{name}_score"]["text"] for name in PERSPECTIVES},
        "unscored": [
            {"metric": name, "reason": number["reason"]}
            for name, number in numbers.items()
            if number["reason"] is not None
        ],
    }
