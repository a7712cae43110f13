"""Read a run folder's loss curves and cases (without their numbers) for a report."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from editloop.evaluation.answers.case_table import (
    StoredPicture,
    case_files,
    picture_in,
    read_case_rows,
)
from editloop.schema import PERSPECTIVES, Json
from editloop.storage.files import explained

__all__ = ["CaseRow", "Curve", "loss_curves", "read_cases"]


@dataclass(frozen=True, slots=True)
class Curve:
    """A model's training and validation losses over its training steps."""

    steps: list[float]
    losses: list[float]
    validation_steps: list[float]
    validation_losses: list[float]


@dataclass(frozen=True, slots=True)
class CaseRow:
    """One editor's answer to one case: its picture, and the perspectives it passed."""

    benchmark: str
    editor: str
    id: str
    session: str | None
    turn: int
    edit_type: str | None
    instruction: str
    picture: StoredPicture | None
    unedited: str | None
    passed: Mapping[str, bool | None]


def loss_curves(run: Path) -> dict[str, Curve]:
    """Read each model's `metrics.jsonl` (keys step, loss, validation_loss), by model name."""
    curves = {}
    for path in sorted((run / "models").glob("*/metrics.jsonl")):
        with explained("read a model's metrics", path):
            lines = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]
        curves[path.parent.name] = Curve(
            *_column(lines, "loss"), *_column(lines, "validation_loss")
        )
    return curves


def _column(lines: Sequence[Json], name: str) -> tuple[list[float], list[float]]:
    kept = [line for line in lines if line.get(name) is not None]
    return [float(line["step"]) for line in kept], [float(line[name]) for line in kept]


def read_cases(run: Path, benchmarks: Collection[str]) -> list[CaseRow]:
    """Read every answer of these benchmarks, without its numbers."""
    return [
        row for path in case_files(run) for row in _case_rows(path) if row.benchmark in benchmarks
    ]


def _case_rows(path: Path) -> Iterator[CaseRow]:
    facts = ["benchmark", "editor", "id", "session", "turn", "edit_type", "instruction"]
    passed = [f"{name}_accuracy" for name in PERSPECTIVES]
    for row in read_case_rows(path, [*facts, "picture", "sha256", "unedited", *passed]):
        yield CaseRow(
            **{name: row[name] for name in facts},
            picture=picture_in(path, row),
            unedited=row["unedited"],
            passed={
                name: None if row[column] is None else row[column] == 1
                for name, column in zip(PERSPECTIVES, passed, strict=True)
                if column in row  # benchmarks with another judge lack some columns
            },
        )
