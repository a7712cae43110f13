"""The interface of engines: tasks are submitted, and `wait` returns how each ended.

An engine runs picklable functions on picklable descriptors and reports each result. It knows
nothing about shards; the driver decides what to do about a lost worker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

__all__ = ["DEADLINE", "Ended", "Engine", "Loss", "Task"]

_T = TypeVar("_T")


DEADLINE = 600.0  # seconds a task may take before its worker is considered hung


class Loss(StrEnum):
    """The way a worker was lost while it ran a task."""

    KILLED = "killed"
    HUNG = "hung"


@dataclass(frozen=True, slots=True)
class Task(Generic[_T]):
    """A call `function(descriptor)` for an engine to make; both are picklable."""

    function: Callable[[_T], Any]
    descriptor: _T


@dataclass(frozen=True, slots=True)
class Ended(Generic[_T]):
    """The end of a task: its value, the error it raised, or the loss of its worker."""

    task: Task[_T]
    value: Any = None
    error: BaseException | None = None
    loss: Loss | None = None


class Engine(Protocol):
    """Runs up to `capacity` tasks at a time; leaving the context stops every worker."""

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
        """Start a task; the caller must not exceed `capacity`."""
        ...

    def wait(self) -> list[Ended[Any]]:
        """Block until a task ends; return all ended tasks, or [] if none was running."""
        ...
