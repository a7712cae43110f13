"""The interface of engines: tasks are submitted, and `wait` returns how each ended.

An engine maps picklable functions over picklable descriptors of a few kilobytes, each with the
resources that it needs. It knows nothing about shards, commits or what follows a task: the driver
decides, also about a lost worker, and the commit record decides what was done. The contract:

- A task runs in a worker, one at a time. A worker is a process, a thread or an actor with one
  `engines.worker.Worker`, through which it runs its tasks (`Worker.run`). What a task keeps there
  (a step that is set up, a model on its device) must survive until the worker ends: an engine
  reuses its workers, and keeps a pool of them for each resource class (`Resources.kind`).
- `Worker.heard` is the sign of life: it is called with the number of seconds within which the next
  one follows. A worker that is late is killed, and its task ends with `Loss.HUNG`; a worker that
  dies ends its task with `Loss.KILLED`. Each loss costs one task and is reported within a bound.
  A worker that cannot be started ends its task with `Loss.NOT_STARTED`, and is not tried again.
- An error that a task raises is handed back unchanged. It must be picklable.
- What the engine cannot give is known at once (`can_run`); it never waits for it.
- Leaving the context calls `Worker.close` in every idle worker, and ends all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from pydantic import Field

from editloop.kernel.resources import CPU, Resources
from editloop.registry import create, parse_spec
from editloop.runtime.launcher import leads
from editloop.settings import Settings

__all__ = ["STARTING", "Ended", "Engine", "EngineSettings", "Loss", "Task", "make_engine"]

_T = TypeVar("_T")


STARTING = 600.0  # seconds from the start of a task to its first sign of life


class EngineSettings(Settings):
    """The settings that every engine has."""

    workers: int | None = Field(
        default=1, ge=1, description="workers of the classes CPU and network; None: one per core"
    )
    devices: tuple[str, ...] | None = Field(
        default=None, description="GPUs, such as cuda:0; those of the machine if not set"
    )


class Loss(StrEnum):
    """The way a worker was lost that had a task."""

    KILLED = "killed"
    HUNG = "hung"
    NOT_STARTED = "not started"  # the task was never begun: submit it again


@dataclass(frozen=True, slots=True)
class Task(Generic[_T]):
    """A call `function(descriptor)` for an engine to make with these resources.

    Its worker is considered hung if it takes longer than `deadline` seconds without a sign of life.
    """

    function: Callable[[_T], Any]
    descriptor: _T
    resources: Resources = CPU
    deadline: float = STARTING


@dataclass(frozen=True, slots=True)
class Ended(Generic[_T]):
    """The end of a task: its value, the error it raised, or the loss of its worker."""

    task: Task[_T]
    value: Any = None
    error: BaseException | None = None
    loss: Loss | None = None


class Engine(Protocol):
    """Runs tasks; leaving the context ends every worker."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def can_run(self, resources: Resources) -> bool:
        """Return whether a task with these resources can ever run."""
        ...

    def free(self, resources: Resources) -> int:
        """Return how many tasks with these resources can be submitted now."""
        ...

    def submit(self, task: Task[Any]) -> None:
        """Start a task; the caller checks `free` first."""
        ...

    def wait(self) -> list[Ended[Any]]:
        """Block until a task ends; return all ended tasks, or [] if none was running."""
        ...


def make_engine(spec: str, workers: int | None, devices: tuple[str, ...] | None = None) -> Engine:
    """Create the engine of a SPEC, such as `processes`; its settings override the other ones.

    In the leading process of a launcher, `processes` are those of all of its processes: `ranks`.
    """
    parsed = parse_spec(spec, "engine")
    settings = {"workers": workers, "devices": devices, **parsed.settings}
    kind = "ranks" if parsed.kind == "processes" and leads() else parsed.kind
    made: Engine = create("engine", kind, settings, where=f"engine {parsed.name}")
    return made
