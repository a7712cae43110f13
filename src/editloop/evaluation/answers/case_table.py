"""The published output of a benchmark: every edited picture and every case's numbers.

cases.parquet    one row per benchmark, editor and case; the means in the results are the means
                 of its columns
*.png            the edited pictures, at paths that the caller chooses
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from editloop.errors import StoreError
from editloop.evaluation.answers.cases import Case
from editloop.images.codec import content_hash
from editloop.schema import Json
from editloop.sources.files import read_file
from editloop.storage.files import Files, explained
from editloop.storage.parquet import TableWriter, read_rows

__all__ = [
    "CASES_FILE",
    "CaseWriter",
    "StoredPicture",
    "case_files",
    "frequent_reasons",
    "picture_in",
    "read_case_rows",
    "values_of",
]

CASES_FILE = "cases.parquet"

_UNSCORED = pa.list_(pa.struct([("metric", pa.string()), ("reason", pa.string())]))
_FACTS = [
    ("benchmark", pa.string()),
    ("editor", pa.string()),
    ("id", pa.string()),
    ("session", pa.string()),
    ("turn", pa.int32()),
    ("setting", pa.string()),
    ("edit_type", pa.string()),
    ("group", pa.string()),
    ("photo", pa.string()),
    ("instruction", pa.string()),
    ("digest", pa.string()),  # of the session's content up to this case
    ("picture", pa.string()),  # path relative to the table's folder, or absolute
    ("sha256", pa.string()),  # of the picture's bytes
    ("unedited", pa.string()),  # reason why there is no picture
]


class CaseWriter:
    """Write the table of cases and the pictures into a benchmark's output folder.

    `texts` names the metrics that come with a text; for each, the table gets a column
    `METRIC_text` (without the suffix `_score`).
    """

    def __init__(self, output: Path, metrics: Sequence[str], texts: Sequence[str] = ()) -> None:
        self._output = output
        self._texts = {f"{name.removesuffix('_score')}_text": name for name in texts}
        self._schema = pa.schema(
            [
                *_FACTS,
                *((metric, pa.float64()) for metric in metrics),
                *((column, pa.string()) for column in self._texts),
                ("unscored", _UNSCORED),
            ]
        )
        self._written: set[Path] = set()
        with explained("write a benchmark's cases", output):
            output.mkdir(parents=True, exist_ok=True)
            self._writer = TableWriter(Files(), output / CASES_FILE, self._schema)

    def write(
        self,
        benchmark: str,
        editor: str,
        answers: Iterable[tuple[Case, Json]],
        place: Callable[[Case, str], Path],
    ) -> pa.Table:
        """Write one editor's answers to a benchmark and return their rows of the table.

        `place` returns the path below the output folder for the picture of a case and setting;
        benchmarks that use the same path share the picture.
        """
        with explained("write a benchmark's cases", self._output):
            rows = [
                {
                    "benchmark": benchmark,
                    "editor": editor,
                    "picture": self._picture(place(case, answer["setting"]), answer),
                    **self._row(case, answer),
                }
                for case, answer in answers
            ]
            table = pa.Table.from_pylist(rows, schema=self._schema)
            self._writer.write(table)
        return table

    def finish(self) -> None:
        """Close the table and check that it can be read back."""
        with explained("write a benchmark's cases", self._output):
            self._writer.finish()

    def _picture(self, path: Path, answer: Json) -> str | None:
        if answer["edited"] is None:
            found: str | None = answer["path"]
            return found
        if path not in self._written:
            whole = self._output / path
            whole.parent.mkdir(parents=True, exist_ok=True)
            whole.write_bytes(answer["edited"])
            self._written.add(path)
        return path.as_posix()

    def _row(self, case: Case, answer: Json) -> dict[str, Json]:
        numbers = {number["name"]: number for number in answer["numbers"]}
        return {
            "id": case.id,
            "session": case.session,
            "turn": case.turn,
            "setting": answer["setting"],
            "edit_type": None if case.edit_type is None else case.edit_type.value,
            "group": case.group,
            "photo": case.photo,
            "instruction": case.instruction,
            "digest": case.digest,
            "sha256": answer["sha256"],
            "unedited": answer["unedited"],
            **{name: number["value"] for name, number in numbers.items()},
            **{column: numbers[name]["text"] for column, name in self._texts.items()},
            "unscored": [
                {"metric": name, "reason": number["reason"]}
                for name, number in numbers.items()
                if number["reason"] is not None
            ],
        }


def case_files(run: Path) -> list[Path]:
    """Return the tables of cases in a run folder, sorted; one per entry of `evaluate`."""
    return sorted((run / "evaluation").glob(f"*/{CASES_FILE}"))


def read_case_rows(path: Path, columns: list[str]) -> Iterator[dict[str, Json]]:
    """Read some columns of a table of cases, one row at a time."""
    return read_rows(path, columns, what="a benchmark's cases")


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """An edited picture that a table of cases names, in the table's folder or made elsewhere.

    A table may come from somebody else, and name any file of this machine: one outside the folder
    is used only if its content is what was evaluated.
    """

    folder: Path
    name: str
    sha256: str | None

    def read(self) -> bytes:
        """Return the picture's bytes; StoreError if it may not be used, OSError if unreadable."""
        path = self.folder / self.name
        outside = not path.resolve().is_relative_to(self.folder.resolve())
        if outside and self.sha256 is None:
            raise _outside(path)
        data = read_file(path)
        if outside and content_hash(data) != self.sha256:
            raise _outside(path)
        return data


def picture_in(table: Path, row: Json) -> StoredPicture | None:
    """Return the picture that a row of a table of cases names, if any."""
    if row["picture"] is None:
        return None
    return StoredPicture(table.parent, row["picture"], row.get("sha256"))


def _outside(path: Path) -> StoreError:
    return StoreError(
        "the run's record names a file outside it that is not what was evaluated",
        value=path,
        fix="do not trust this run folder, or evaluate again",
    )


def values_of(table: pa.Table, metrics: Sequence[str]) -> NDArray[np.float64]:
    """Return a table's numbers as [cases, metrics], NaN where unscored."""
    columns = [table[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in metrics]
    return np.stack(columns, axis=1)


def frequent_reasons(table: pa.Table) -> dict[str, str]:
    """Return, by metric, the most frequent reason why cases are unscored."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for unscored in table["unscored"].to_pylist():
        for item in unscored:
            counts[item["metric"]][item["reason"]] += 1
    return {metric: counter.most_common(1)[0][0] for metric, counter in counts.items()}
