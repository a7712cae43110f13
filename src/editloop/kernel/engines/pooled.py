"""What engines with pools of workers share: one pool for each resource class.

An engine adds only how a worker is started, and where it may be; see `processes` and `ray`.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Generic, Protocol, Self, TypeVar

from editloop.errors import StepError, UnavailableError
from editloop.kernel.engines.base import Ended, EngineSettings, Loss, Task
from editloop.kernel.resources import Resources
from editloop.runtime.machine import cores, gpus

__all__ = [
    "LocalPooledEngine",
    "NotStartedError",
    "PooledEngine",
    "PooledWorker",
    "devices_of",
    "local_places",
]

_Place = TypeVar("_Place")  # where a worker runs: a local one's device

_LOOKING = 0.5  # seconds between two looks at the signs of life
_CLOSING = 60.0  # seconds that closing the steps of all workers may take


class NotStartedError(BrokenExecutor):
    """The error of a task whose worker could not be started: the task had no part in it."""


class PooledWorker(Protocol):
    """A worker as its engine sees it; it runs one task at a time."""

    @property
    def due(self) -> float:
        """The time, by `time.monotonic`, until which the next sign of life must come."""
        ...

    def submit(self, task: Task[Any]) -> Future[Any]:
        """Start a task; the future raises BrokenExecutor if the worker dies."""
        ...

    def alive(self) -> bool:
        """Return whether the worker, which is idle, can run a task."""
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
class _Pool(Generic[_Place]):
    """The workers of one resource class; each slot is a core, or the devices of one worker."""

    slots: int
    places: list[_Place]  # of the workers that are not started
    idle: list[tuple[PooledWorker, _Place]] = field(default_factory=list)

    def taken_by(self, resources: Resources) -> int:
        """Return the number of slots that a task takes."""
        return 1 if resources.gpus else min(resources.cpus, max(1, self.slots))


@dataclass(frozen=True, slots=True)
class _Running(Generic[_Place]):
    task: Task[Any]
    worker: PooledWorker
    place: _Place
    pool: _Pool[_Place]
    slots: int


class PooledEngine(ABC, Generic[_Place]):
    """Runs tasks in workers that it starts when they are needed and keeps until it is left."""

    Settings = EngineSettings

    def __init__(self) -> None:
        self._pools: dict[tuple[str, int], _Pool[_Place]] = {}
        self._running: dict[Future[Any], _Running[_Place]] = {}

    @abstractmethod
    def places(self, kind: str, gpus: int) -> list[_Place]:
        """Return the places of all workers of a pool, each with this many GPUs.

        `kind` is that of `Resources`.
        """
        ...

    @abstractmethod
    def start_worker(self, place: _Place) -> PooledWorker:
        """Return a new worker in a place."""
        ...

    def is_there(self, _: _Place) -> bool:
        """Return whether another worker may be started in the place of one that was lost."""
        return True

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
        return max(0, pool.slots - used) // pool.taken_by(resources)

    def submit(self, task: Task[Any]) -> None:
        pool = self._pool(task.resources)
        if pool.idle:
            worker, place = pool.idle.pop()
        else:
            place = pool.places.pop()
            worker = self.start_worker(place)
        future = worker.submit(task)
        slots = pool.taken_by(task.resources)
        self._running[future] = _Running(task, worker, place, pool, slots)

    def wait(self) -> list[Ended[Any]]:
        while self._running:
            done, _ = wait(self._running, _LOOKING, FIRST_COMPLETED)
            ended = [self._finish(future) for future in done] or self._kill_late()
            if ended:
                return ended
        return []

    def _pool(self, resources: Resources) -> _Pool[_Place]:
        """Return the pool of a resource class; one that allows the CPU has its pool if need be."""
        pool = self._pool_of(resources.kind, resources.gpus)
        if pool.slots or not resources.gpu_optional:
            return pool
        return self._pool_of(replace(resources, gpus=0).kind, 0)

    def _pool_of(self, kind: str, gpus: int) -> _Pool[_Place]:
        if (kind, gpus) not in self._pools:
            places = self.places(kind, gpus)
            self._pools[kind, gpus] = _Pool(len(places), places[::-1])
        return self._pools[kind, gpus]

    def _finish(self, future: Future[Any]) -> Ended[Any]:
        running = self._running.pop(future)
        error = future.exception()
        if isinstance(error, BrokenExecutor):
            never = isinstance(error, NotStartedError)
            return self._lose(running, Loss.NOT_STARTED if never else Loss.KILLED)
        running.pool.idle.append((running.worker, running.place))
        return Ended(running.task, value=None if error else future.result(), error=error)

    def _kill_late(self) -> list[Ended[Any]]:
        now = time.monotonic()
        late = [future for future, each in self._running.items() if each.worker.due <= now]
        return [self._lose(self._running.pop(future), Loss.HUNG) for future in late]

    def _lose(self, running: _Running[_Place], loss: Loss) -> Ended[Any]:
        """End a worker for good, and all that are lost with it; others may take their places."""
        pool = running.pool
        lost = [each for each in pool.idle if not each[0].alive()]
        pool.idle = [each for each in pool.idle if each not in lost]
        for worker, place in ((running.worker, running.place), *lost):
            worker.kill()
            worker.stop()
            refused = worker is running.worker and loss is Loss.NOT_STARTED
            if refused or not self.is_there(place):
                pool.slots -= 1
            else:
                pool.places.append(place)
        if not pool.slots:
            raise UnavailableError(
                "no place is left where this work can run: its nodes are gone, or in use by others",
                value=running.task.resources.kind,
                fix="run the same command when there are nodes again; finished work is kept",
            )
        return Ended(running.task, loss=loss)


def local_places(
    kind: str, gpus: int, workers: int, devices: Callable[[], Sequence[str]]
) -> list[str]:
    """Return the devices of all workers of a pool in one process: each has `gpus` of the GPUs."""
    if kind != "gpu":
        return ["cpu"] * workers
    found = devices()
    return [",".join(found[at : at + gpus]) for at in range(0, len(found) - gpus + 1, gpus)]


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


class LocalPooledEngine(PooledEngine[str]):
    """Runs tasks in workers on this machine, each on a device of its own."""

    def __init__(self, settings: EngineSettings | None = None) -> None:
        super().__init__()
        self._settings = settings or EngineSettings()
        self._devices = devices_of(self._settings)

    def places(self, kind: str, gpus: int) -> list[str]:
        """Return the devices of all workers of a pool."""
        return local_places(kind, gpus, self._settings.workers or cores(), self._devices)
