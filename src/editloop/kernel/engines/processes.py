"""An engine that runs tasks in local worker processes and survives their deaths."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, Self

from editloop.kernel.engines.base import DEADLINE, Ended, Loss, Task

__all__ = ["LocalProcessEngine"]


class LocalProcessEngine:
    """Runs tasks in worker processes on this machine.

    Each worker has its own pool, so a worker that dies loses exactly one known task. If a task
    takes longer than `deadline` seconds, its worker is killed.
    """

    def __init__(self, workers: int, *, deadline: float = DEADLINE) -> None:
        self.capacity = max(1, workers)
        self._deadline = deadline
        self._idle = [_Worker() for _ in range(self.capacity)]
        self._busy: dict[Future[Any], _RunningTask] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for job in self._busy.values():
            job.worker.kill()
        for worker in (*self._idle, *(job.worker for job in self._busy.values())):
            worker.close()
        self._busy.clear()

    def submit(self, task: Task[Any]) -> None:
        worker = self._idle.pop()
        future = worker.submit(task)
        self._busy[future] = _RunningTask(task, worker, time.monotonic() + self._deadline)

    def wait(self) -> list[Ended[Any]]:
        while self._busy:
            first = min(job.deadline for job in self._busy.values())
            done, _ = wait(self._busy, max(0.0, first - time.monotonic()), FIRST_COMPLETED)
            ended = [self._finish(future) for future in done] or self._kill_late()
            if ended:
                return ended
        return []

    def _finish(self, future: Future[Any]) -> Ended[Any]:
        job = self._busy.pop(future)
        error = future.exception()
        self._idle.append(_Worker() if isinstance(error, BrokenProcessPool) else job.worker)
        if isinstance(error, BrokenProcessPool):
            job.worker.close()
            return Ended(job.task, loss=Loss.KILLED)
        return Ended(job.task, value=None if error else future.result(), error=error)

    def _kill_late(self) -> list[Ended[Any]]:
        now = time.monotonic()
        late = [future for future, job in self._busy.items() if job.deadline <= now]
        ended = []
        for future in late:
            job = self._busy.pop(future)
            job.worker.kill()
            job.worker.close()
            self._idle.append(_Worker())
            ended.append(Ended(job.task, loss=Loss.HUNG))
        return ended


@dataclass(frozen=True, slots=True, eq=False)
class _RunningTask:
    task: Task[Any]
    worker: _Worker
    deadline: float


class _Worker:
    """A process in its own pool, started by its first task."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._processes: list[BaseProcess] = []

    def submit(self, task: Task[Any]) -> Future[Any]:
        if self._pool is not None:
            with suppress(BrokenProcessPool):  # the process died while idle: start another
                return self._pool.submit(task.function, task.descriptor)
            self.close()
        before = set(multiprocessing.active_children())
        self._pool = ProcessPoolExecutor(
            1, mp_context=_context(), initializer=_prepare_worker, initargs=(dict(os.environ),)
        )
        with _main_hidden():
            future = self._pool.submit(task.function, task.descriptor)
        self._processes = [
            process for process in multiprocessing.active_children() if process not in before
        ]
        return future

    def kill(self) -> None:
        for process in self._processes:
            process.kill()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def _context() -> Any:
    """Return a forkserver context that has imported the modules every worker needs."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["editloop.kernel.worker"])
    return context


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Keep a worker that starts now from importing the user's script again.

    Tasks are defined in modules, so workers do not need `__main__`, and a user's script does not
    need an `if __name__ == "__main__"` guard.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _prepare_worker(environment: dict[str, str]) -> None:
    """Set up a new worker; the fork server may have an older environment."""
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver handles Ctrl-C and stops us
    threading.Thread(target=_die_with_driver, daemon=True).start()
    _limit_threads()


def _die_with_driver() -> None:
    driver = multiprocessing.parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)


def _limit_threads() -> None:
    """Limit a worker to one thread, in libraries loaded now or later.

    The workers already share the cores, and the order of a parallel sum must not depend on the
    number of threads.
    """
    import threadpoolctl

    threadpoolctl.threadpool_limits(1)
    for name in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{name}_NUM_THREADS"] = "1"
    os.environ["OPENCV_FOR_THREADS_NUM"] = "1"
