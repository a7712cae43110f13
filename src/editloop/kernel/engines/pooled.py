"""What engines with pools of workers share: one pool for each resource class.

An engine adds only how a worker is started; see `processes` and `threads`.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol, Self

from editloop.errors import StepError
from editloop.kernel.engines.base import Ended, EngineSettings, Loss, Task
from editloop.kernel.resources import Resources
from editloop.runtime.machine import gpus

__all__ = ["PooledEngine", "PooledWorker", "devices_of"]

_LOOKING = 0.5  # seconds between two looks at the signs of life
_CLOSING = 60.0  # seconds that closing the steps of all workers may take


class PooledWorker(Protocol):
    """A worker as its engine sees it; it runs one task at a time and owns a device."""

    @property
    def due(self) -> float:
        """The time, by `time.monotonic`, until which the next sign of life must come."""
        ...

    def submit(self, task: Task[Any]) -> Future[Any]:
        """Start a task; the future raises BrokenExecutor if the worker dies."""
        ...

    def kill(self) -> None:
        """End the worker, whatever it is doing."""
        ...

    def close(self) -> Future[Any] | None:
        """Start `Worker.close`; returns None if the worker never ran a task."""
        ...

    def stop(self) -> None:
        """Wait until a worker that is closed or killed has ended."""
        ...


def devices_of(settings: EngineSettings) -> Callable[[], tuple[str, ...]]:
    """Return a function that lists the GPUs; the machine's are looked up when it is called."""
    return cache(lambda: gpus() if settings.devices is None else settings.devices)


@dataclass(slots=True)
class _Pool:
    """The workers of one resource class; each slot is a core, or the devices of one worker."""

    slots: int
    devices: list[str]  # of the workers that are not started
    idle: list[tuple[PooledWorker, str]] = field(default_factory=list)

    def taken_by(self, resources: Resources) -> int:
        """Return the number of slots that a task takes."""
        return 1 if resources.gpus else min(resources.cpus, max(1, self.slots))


@dataclass(frozen=True, slots=True)
class _Running:
    task: Task[Any]
    worker: PooledWorker
    device: str
    pool: _Pool
    slots: int


class PooledEngine(ABC):
    """Runs tasks in workers that it starts when they are needed and keeps until it is left."""

    Settings = EngineSettings

    def __init__(self, settings: EngineSettings | None = None) -> None:
        self._settings = settings or EngineSettings()
        self._devices = devices_of(self._settings)
        self._pools: dict[tuple[str, int], _Pool] = {}
        self._running: dict[Future[Any], _Running] = {}

    @abstractmethod
    def start_worker(self, device: str) -> PooledWorker:
        """Return a new worker that owns a device."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        busy = [running.worker for running in self._running.values()]
        for worker in busy:
            worker.kill()
        idle = [worker for pool in self._pools.values() for worker, _ in pool.idle]
        closing = {worker: worker.close() for worker in idle}
        futures = [future for future in closing.values() if future is not None]
        late = wait(futures, _CLOSING).not_done
        for worker, future in closing.items():
            if future in late:
                worker.kill()
        for worker in (*busy, *idle):
            worker.stop()
        self._running.clear()
        self._pools.clear()
        if kind is None:
            _check_closed([each for each in futures if each not in late], bool(late))

    def can_run(self, resources: Resources) -> bool:
        return self._pool(resources).slots > 0

    def free(self, resources: Resources) -> int:
        pool = self._pool(resources)
        used = sum(each.slots for each in self._running.values() if each.pool is pool)
        return (pool.slots - used) // pool.taken_by(resources)

    def submit(self, task: Task[Any]) -> None:
        pool = self._pool(task.resources)
        if pool.idle:
            worker, device = pool.idle.pop()
        else:
            device = pool.devices.pop()
            worker = self.start_worker(device)
        future = worker.submit(task)
        slots = pool.taken_by(task.resources)
        self._running[future] = _Running(task, worker, device, pool, slots)

    def wait(self) -> list[Ended[Any]]:
        while self._running:
            done, _ = wait(self._running, _LOOKING, FIRST_COMPLETED)
            ended = [self._finish(future) for future in done] or self._kill_late()
            if ended:
                return ended
        return []

    def _pool(self, resources: Resources) -> _Pool:
        on_cpu = resources.gpus == 0
        if not on_cpu and resources.gpu_optional:
            on_cpu = len(self._devices()) < resources.gpus
        kind = ("network" if resources.network else "cpu") if on_cpu else "gpu"
        at = kind, 0 if on_cpu else resources.gpus
        if at not in self._pools:
            self._pools[at] = self._new_pool(0 if on_cpu else resources.gpus)
        return self._pools[at]

    def _new_pool(self, each: int) -> _Pool:
        """Return a pool of workers with `each` devices, or on the CPU."""
        if not each:
            return _Pool(self._settings.workers, ["cpu"] * self._settings.workers)
        found = self._devices()
        groups = [found[at : at + each] for at in range(0, len(found) - each + 1, each)]
        return _Pool(len(groups), [",".join(group) for group in reversed(groups)])

    def _finish(self, future: Future[Any]) -> Ended[Any]:
        running = self._running.pop(future)
        error = future.exception()
        if isinstance(error, BrokenExecutor):
            return self._lose(running, Loss.KILLED)
        running.pool.idle.append((running.worker, running.device))
        return Ended(running.task, value=None if error else future.result(), error=error)

    def _kill_late(self) -> list[Ended[Any]]:
        now = time.monotonic()
        late = [future for future, each in self._running.items() if each.worker.due <= now]
        return [self._lose(self._running.pop(future), Loss.HUNG) for future in late]

    def _lose(self, running: _Running, loss: Loss) -> Ended[Any]:
        """End a worker for good; another one may be started on its device."""
        running.worker.kill()
        running.worker.stop()
        running.pool.devices.append(running.device)
        return Ended(running.task, loss=loss)


def _check_closed(futures: list[Future[Any]], late: bool) -> None:
    for error in (future.exception() for future in futures):
        if error is not None and not isinstance(error, BrokenExecutor):
            raise error
    if late:
        raise StepError(
            "a step's `close` does not end",
            value=f"{_CLOSING:.0f} s",
            fix="mend it, then run again: all work is kept",
        )
