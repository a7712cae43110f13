"""An engine that runs tasks in the current process, one after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Self

from editloop.kernel.engines.base import Ended, EngineSettings, Task
from editloop.kernel.engines.pooled import devices_of
from editloop.kernel.engines.worker import Worker
from editloop.kernel.resources import Resources

__all__ = ["InProcessEngine"]


class InProcessEngine:
    """Runs tasks in the current process, one after another. A crash in a task ends the process."""

    Settings = EngineSettings

    def __init__(self, settings: EngineSettings | None = None) -> None:
        self._devices = devices_of(settings or EngineSettings())
        self._tasks: deque[Task[Any]] = deque()
        self._workers: dict[str, Worker] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tasks.clear()
        for worker in self._workers.values():
            worker.close()

    def can_run(self, resources: Resources) -> bool:
        return resources.gpu_optional or resources.gpus <= len(self._devices())

    def free(self, _: Resources) -> int:
        return 0 if self._tasks else 1

    def submit(self, task: Task[Any]) -> None:
        self._tasks.append(task)

    def wait(self) -> list[Ended[Any]]:
        if not self._tasks:
            return []
        task = self._tasks.popleft()
        try:
            with nullcontext() if task.resources.cpus > 1 else _single_threaded():
                return [Ended(task, value=self._worker(task.resources).run(task))]
        except Exception as error:
            return [Ended(task, error=error)]

    def _worker(self, resources: Resources) -> Worker:
        on_gpu = resources.gpus and resources.gpus <= len(self._devices())
        device = ",".join(self._devices()[: resources.gpus]) if on_gpu else "cpu"
        return self._workers.setdefault(device, Worker(device))


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Limit libraries to one thread temporarily, as the process may be running other code too."""
    import threadpoolctl

    with threadpoolctl.threadpool_limits(1):
        yield
