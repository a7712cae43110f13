"""The worker that runs a task, as the task sees it: its device, its signs of life, what it keeps.

An engine makes one `Worker` in each of its processes, threads or actors, and runs every task
through it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from editloop.kernel.engines.base import Task
from editloop.runtime.machine import at_most

__all__ = ["Worker", "current_worker"]

_T = TypeVar("_T")


def _nobody(_: float) -> None:
    return None


class Worker:
    """Runs tasks one at a time, and keeps objects from one task to the next.

    `device` is where its networks run. `heard` receives each sign of life: the number of seconds
    within which the next one follows.
    """

    def __init__(self, device: str = "cpu", heard: Callable[[float], None] = _nobody) -> None:
        self.device = device
        self._heard = heard
        self._pace = 0.0
        self._kept: dict[Hashable, Any] = {}

    def run(self, task: Task[Any]) -> Any:
        """Return the value of a task; meanwhile this is the `current_worker` of the thread."""
        before = getattr(_LOCAL, "worker", None)
        _LOCAL.worker = self
        try:
            with at_most(task.resources.cpus):
                return task.function(task.descriptor)
        finally:
            _LOCAL.worker = before

    def expect(self, seconds: float, inputs: int = 1) -> None:
        """Give a sign of life: the next one follows within `seconds` for each of the inputs."""
        self._pace = seconds
        self._heard(seconds * inputs)

    def beat(self) -> None:
        """Give a sign of life: one input takes as long as `expect` was told."""
        self._heard(self._pace)

    def kept(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """Return the object of a key, made by the first task that asks for it.

        It is closed with the worker, if it has a method `close`.
        """
        if key not in self._kept:
            self._kept[key] = make()
        found: _T = self._kept[key]
        return found

    def close(self) -> None:
        """Close all kept objects, the last one first; raises the first of their errors."""
        errors: list[Exception] = []
        while self._kept:
            _, each = self._kept.popitem()
            try:
                getattr(each, "close", lambda: None)()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]


_LOCAL = threading.local()


def current_worker() -> Worker:
    """Return the worker that runs the current task; outside of engines, one for the thread."""
    found: Worker | None = getattr(_LOCAL, "worker", None)
    if found is None:
        found = _LOCAL.worker = Worker()
    return found
