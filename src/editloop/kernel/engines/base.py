"""The face of engines: tasks go in, and how each of them ended comes out.

An engine maps a picklable function over picklable descriptors and says of each how it ended. It
knows nothing of shards: what to do about a lost worker is the driver's decision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

__all__ = ["DEADLINE", "Ended", "Engine", "Loss", "Task"]

_T = TypeVar("_T")


DEADLINE = 600.0  # seconds that one task may take before its worker counts as hung


class Loss(StrEnum):
    """How a worker was lost under a task."""

    KILLED = "killed"
    HUNG = "hung"


@dataclass(frozen=True, slots=True)
class Task(Generic[_T]):
    """A call to make somewhere: `function(descriptor)`, both picklable."""

    function: Callable[[_T], Any]
    descriptor: _T


@dataclass(frozen=True, slots=True)
class Ended(Generic[_T]):
    """How a task ended: with a value, with the error it raised, or with the loss of its worker."""

    task: Task[_T]
    value: Any = None
    error: BaseException | None = None
    loss: Loss | None = None


class Engine(Protocol):
    """Runs up to `capacity` tasks at a time; leaving it ends every worker at once."""

    @property
    def capacity(self) -> int: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def submit(self, task: Task[Any]) -> None:
        """Start a task; the caller keeps within `capacity`."""
        ...

    def wait(self) -> list[Ended[Any]]:
        """The tasks that have ended since, at least one; none only where none was running."""
        ...
