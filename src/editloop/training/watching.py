"""The progress bar and the metrics file of a training."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from editloop.errors import TrainingError
from editloop.schema import Json
from editloop.storage.files import Files, explained, replace_file

__all__ = ["Metrics", "watched"]

_Across: TypeAlias = Callable[[Tensor, str], Tensor]


def _alone(value: Tensor, _reduction: str) -> Tensor:
    return value


class Metrics:
    """A file of JSON lines `{"step", "loss", "validation_loss"?}`.

    A loss is the mean since the previous line. No times are written, so equal trainings write equal
    files.
    """

    def __init__(self, path: Path, *, written: bool = True) -> None:
        self.path = path
        self._written = written  # True in only one of several processes
        self._losses: list[Tensor] = []

    def add(self, loss: Tensor) -> None:
        """Add a step's loss to the next line, without waiting for the device."""
        self._losses.append(loss)

    def write(
        self, step: int, validation_loss: float | None = None, *, across: _Across = _alone
    ) -> float:
        """Write a line and return its loss, averaged over processes by `across`.

        Raises TrainingError if the loss is NaN or infinite.
        """
        loss = across(torch.stack(self._losses).double().mean(), "mean").item()
        self._losses.clear()
        if not math.isfinite(loss):
            raise TrainingError(
                "the loss became NaN or infinite", value=f"step {step}", fix="lower learning_rate"
            )
        line: dict[str, Json] = {"step": step, "loss": loss}
        if validation_loss is not None:
            line["validation_loss"] = validation_loss
        if self._written:
            with explained("write metrics", self.path), self.path.open("a") as file:
                file.write(f"{json.dumps(line)}\n")
        return loss

    def rewind(self, step: int) -> None:
        """Remove the lines after a step, and an incomplete last line after a crash."""
        if not self._written:
            return
        kept = "".join(f"{json.dumps(line)}\n" for line in self.lines() if line["step"] <= step)
        with explained("write metrics", self.path):
            replace_file(Files(), self.path, kept.encode())

    def lines(self) -> Iterator[dict[str, Json]]:
        """Return the complete lines written so far."""
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        whole = text.splitlines(keepends=True)
        return (json.loads(line) for line in whole if line.endswith("\n"))


@contextmanager
def watched(
    name: str, steps: int, done: int, *, shown: bool
) -> Iterator[Callable[[float | None], None]]:
    """Show a progress bar with the loss and the time left, if stderr is a terminal.

    Gives a function to call once per step with the loss, or None.
    """
    console = Console(stderr=True)
    bar = Progress(
        TextColumn(f"training {name}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not (shown and console.is_terminal),
        transient=True,
    )
    with bar:
        task = bar.add_task(name, total=steps, completed=done, loss="...")

        def show(loss: float | None) -> None:
            bar.advance(task)
            if loss is not None:
                bar.update(task, loss=f"{loss:.4f}")

        yield show
