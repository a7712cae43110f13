"""An engine that runs tasks in threads of this process.

For work that waits for servers, or that computes outside of Python's lock. A thread cannot be
killed: one that hangs is left alone, and its task is reported as hung.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Self

from editloop.kernel.engines.base import EngineSettings, Task
from editloop.kernel.engines.pooled import LocalPooledEngine
from editloop.kernel.engines.worker import Worker

__all__ = ["ThreadEngine"]


class ThreadEngine(LocalPooledEngine):
    """Runs tasks in threads; each has its own steps. A crash in a task ends the process."""

    def __init__(self, settings: EngineSettings | None = None) -> None:
        super().__init__(settings)
        self._limits: Any = None

    def __enter__(self) -> Self:
        import threadpoolctl

        self._limits = threadpoolctl.threadpool_limits(1)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            super().__exit__(kind, *rest)
        finally:
            self._limits.restore_original_limits()

    def start_worker(self, place: str) -> _Thread:
        return _Thread(place)


class _Thread:
    """A thread with a queue of calls, and the time until which it must be heard of."""

    def __init__(self, device: str) -> None:
        self.due = 0.0
        self._worker = Worker(device, self._heard)
        self._calls: SimpleQueue[tuple[Future[Any], Task[Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="editloop-worker", daemon=True)
        self._thread.start()

    def submit(self, task: Task[Any]) -> Future[Any]:
        self._heard(task.deadline)
        future: Future[Any] = Future()
        self._calls.put((future, task))
        return future

    def alive(self) -> bool:
        return True

    def kill(self) -> None:
        self._calls.put(None)
        self._thread = threading.Thread()  # the old one is left alone

    def close(self) -> Future[Any]:
        return self.submit(Task(_close, self._worker))

    def stop(self) -> None:
        self._calls.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    def _heard(self, seconds: float) -> None:
        self.due = time.monotonic() + seconds

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            future, task = call
            try:
                future.set_result(self._worker.run(task))
            except BaseException as error:
                future.set_exception(error)


def _close(worker: Worker) -> None:
    worker.close()
