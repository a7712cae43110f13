"""An engine that runs tasks in the current process, one after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from editloop.kernel.engines.base import Ended, Task

__all__ = ["InProcessEngine"]


class InProcessEngine:
    """Runs tasks in the current process, one after another. A crash in a task ends the process."""

    capacity = 1

    def __init__(self) -> None:
        self._tasks: deque[Task[Any]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tasks.clear()

    def submit(self, task: Task[Any]) -> None:
        self._tasks.append(task)

    def wait(self) -> list[Ended[Any]]:
        if not self._tasks:
            return []
        task = self._tasks.popleft()
        try:
            with _single_threaded():
                return [Ended(task, value=task.function(task.descriptor))]
        except Exception as error:
            return [Ended(task, error=error)]


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Limit libraries to one thread temporarily, as the process may be running other code too."""
    import threadpoolctl

    with threadpoolctl.threadpool_limits(1):
        yield
