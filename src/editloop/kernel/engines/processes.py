"""An engine that runs tasks in local worker processes and survives their deaths."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

from editloop.kernel.engines.base import Task
from editloop.kernel.engines.pooled import LocalPooledEngine
from editloop.kernel.engines.worker import Worker
from editloop.runtime.launcher import forget_launcher

__all__ = ["LocalProcess", "LocalProcessEngine", "become_worker", "close_worker", "run_in_worker"]


class LocalProcessEngine(LocalPooledEngine):
    """Runs tasks in worker processes on this machine.

    Each worker has its own pool, so a worker that dies loses exactly one known task. A worker of
    the class GPU sees only its own devices.
    """

    def start_worker(self, place: str) -> LocalProcess:
        """Return a new process that owns a device."""
        return LocalProcess(place)


class LocalProcess:
    """A process in its own pool, started by its first task."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._due = _context().RawValue("d", 0.0)  # shared with the process
        self._pool: ProcessPoolExecutor | None = None
        self._processes: list[BaseProcess] = []

    @property
    def due(self) -> float:
        """The time until which the next sign of life must come."""
        due: float = self._due.value
        return due

    def submit(self, task: Task[Any]) -> Future[Any]:
        """Start a task, and the process for the first one."""
        self._due.value = time.monotonic() + task.deadline
        if self._pool is not None:
            with suppress(BrokenProcessPool):  # the process died while idle: start another
                return self._pool.submit(run_in_worker, task)
            self.stop()
        before = set(multiprocessing.active_children())
        self._pool = ProcessPoolExecutor(
            1,
            mp_context=_context(),
            initializer=_prepare_worker,
            initargs=(dict(os.environ), self._device, self._due),
        )
        with _main_hidden():
            future = self._pool.submit(run_in_worker, task)
        self._processes = [
            process for process in multiprocessing.active_children() if process not in before
        ]
        return future

    def alive(self) -> bool:
        """Return True: a process that died while idle is started again."""
        return True

    def kill(self) -> None:
        """End the process."""
        for process in self._processes:
            process.kill()

    def close(self) -> Future[Any] | None:
        """Start to close what the worker keeps."""
        if self._pool is not None:
            with suppress(BrokenProcessPool):
                return self._pool.submit(close_worker)
        return None

    def stop(self) -> None:
        """Wait until the process has ended."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


_WORKER: list[Worker] = []  # the one of this process, once it is a worker process


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


def _prepare_worker(environment: dict[str, str], device: str, due: Any) -> None:
    """Set up a new worker; the fork server may have an older environment."""
    os.environ.clear()
    os.environ.update(environment)

    def heard(seconds: float) -> None:
        due.value = time.monotonic() + seconds

    become_worker(_only_visible(device), heard)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver handles Ctrl-C and stops us
    threading.Thread(target=_die_with_driver, daemon=True).start()


def become_worker(device: str, heard: Callable[[float], None]) -> None:
    """Make this process a worker, for `run_in_worker` and `close_worker`."""
    forget_launcher()
    _WORKER.append(Worker(device, heard))
    _limit_threads()


def run_in_worker(task: Task[Any]) -> Any:
    """Return the value of a task that this worker process runs."""
    if task.resources.cpus == 1:
        return _WORKER[0].run(task)
    import threadpoolctl

    with threadpoolctl.threadpool_limits(task.resources.cpus):
        return _WORKER[0].run(task)


def close_worker() -> None:
    """Close what this worker process keeps."""
    _WORKER[0].close()


def _only_visible(device: str) -> str:
    """Hide all GPUs of CUDA but these from this process; returns their name in it."""
    if not device.startswith("cuda:"):
        return device
    own = [int(name.removeprefix("cuda:")) for name in device.split(",")]
    all_of_them = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    names = [all_of_them[at] if at < len(all_of_them) and all_of_them[0] else str(at) for at in own]
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names)
    return "cuda"


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
