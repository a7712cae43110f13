"""The progress bar and the metrics file of a training."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from editloop.schema import Json
from editloop.showing.terminal import escape
from editloop.storage.files import Files, explained, replace_file
from editloop.training.finite import diverged
from editloop.training.trained import Checkpoint

__all__ = ["Metrics", "watched"]

_Across: TypeAlias = Callable[[Tensor, str], Tensor]


def _alone(value: Tensor, _reduction: str) -> Tensor:
    return value


class Metrics:
    """A file of JSON lines `{"step", "loss", "validation_loss"?, "cosine_steps"?}`.

    A loss is the mean since the previous line. `cosine_steps` is in the first line after a training
    was made longer: the steps that the cosine of its rate spans from there. No times are written,
    so equal trainings write equal files. Values are finite.
    """

    def __init__(self, path: Path, *, written: bool = True) -> None:
        self.path = path
        self.news: dict[str, Json] = {}  # for the next line
        self._written = written  # True in only one of several processes
        self._steps: list[Tensor] = []  # of each: its loss and the norm of its gradient

    def add(self, loss: Tensor, gradient: Tensor) -> None:
        """Add a step's loss and its gradient's norm, without waiting for the device."""
        self._steps.append(torch.stack([loss.double(), gradient.double()]))

    def take(self, step: int, *, across: _Across = _alone) -> float:
        """Return the mean loss of the steps up to `step` since the last call.

        `across` averages over processes. Raises TrainingError, with the first step at fault, if a
        loss or a gradient is NaN or infinite.
        """
        table = across(torch.stack(self._steps), "mean").cpu()
        first = step - len(self._steps) + 1
        self._steps.clear()
        finite = table.isfinite()
        if not finite.all():
            bad = int((~finite.all(1)).nonzero()[0])
            raise diverged("the gradient" if finite[bad, 0] else "the loss", first + bad)
        return float(table[:, 0].mean())

    def write(self, step: int, loss: float, validation_loss: float | None = None) -> None:
        """Write a line."""
        line: dict[str, Json] = {"step": step, "loss": loss}
        if validation_loss is not None:
            line["validation_loss"] = validation_loss
        line |= self.news
        self.news = {}
        if self._written:
            with explained("write metrics", self.path), self.path.open("a") as file:
                file.write(_text(line))

    def rewind(self, step: int) -> None:
        """Remove the lines after a step, and an incomplete last line after a crash."""
        if not self._written:
            return
        kept = "".join(_text(line) for line in self.lines() if line["step"] <= step)
        with explained("write metrics", self.path):
            replace_file(Files(), self.path, kept.encode())

    def checkpoints(self, steps: Iterable[int]) -> tuple[Checkpoint, ...]:
        """Return the checkpoints of some steps with their losses."""
        lines = {line["step"]: line for line in self.lines()}
        there = (lines[step] for step in steps if step in lines)
        return tuple(
            Checkpoint(each["step"], each["loss"], each.get("validation_loss")) for each in there
        )

    def lines(self) -> Iterator[dict[str, Json]]:
        """Return the complete lines written so far; NaN, which older versions wrote, as null."""
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        whole = text.splitlines(keepends=True)
        complete = (line for line in whole if line.endswith("\n"))
        return (json.loads(line, parse_constant=lambda _: None) for line in complete)


def _text(line: Mapping[str, Json]) -> str:
    return f"{json.dumps(line, allow_nan=False)}\n"


@contextmanager
def watched(
    name: str, steps: int, done: int, *, shown: bool
) -> Iterator[Callable[[float | None], None]]:
    """Show a progress bar with the loss and the time left, if stderr is a terminal.

    Gives a function to call once per step with the loss, or None.
    """
    console = Console(stderr=True)
    bar = Progress(
        TextColumn(escape(f"training {name}")),
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
