"""A worker in a Ray actor, as its engine sees it.

What Ray says about an actor is no proof of what its task did: an actor may be lost after it has
committed. So a loss is only reported, and the commit record decides.
"""

from __future__ import annotations

import pickle
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from editloop.errors import UnavailableError
from editloop.kernel.engines.base import Task
from editloop.kernel.engines.pooled import NotStartedError

__all__ = ["RayActor", "RayPlace"]

_STARTING = 60.0  # seconds that an actor may take to start; it takes seconds if its node is free
_ASKING = 1.0  # seconds between two questions for a sign of life
_SILENT = 300.0  # seconds without an answer, such as in a call that holds the interpreter
_ALIVE = 5.0  # seconds that an idle actor may take to answer


@dataclass(frozen=True, slots=True)
class RayPlace:
    """What an actor reserves on a node: the node's id, a share of a core, GPUs."""

    node: str
    cpus: float
    gpus: int = 0


class RayActor:
    """An actor on a node, asked once a second for its signs of life."""

    def __init__(self, place: RayPlace) -> None:
        self._place = place
        self._task = 0  # number of tasks submitted
        self._late = False
        self._asked: float | None = None  # time of a question that is not answered yet
        self._next = 0.0
        self._ready = threading.Event()
        self._refused: BaseException | None = None
        self._future: Future[Any] = Future()
        self._timer = threading.Timer(_STARTING, self._give_up)
        self._timer.daemon = True
        self._timer.start()
        self._actor = _new_actor(place)
        begun = self._actor.start.remote(sys.path, str(Path.cwd()), _device(place))
        begun.future().add_done_callback(self._started)

    @property
    def due(self) -> float:
        """Minus infinity once the actor has said that the task is late; until then in the future.

        An actor that does not answer at all has `_SILENT` seconds.
        """
        now = time.monotonic()
        if self._ready.is_set() and self._asked is None and now >= self._next:
            self._asked = now
            answer = self._actor.seconds_left.remote().future()
            answer.add_done_callback(partial(self._answered, self._task))
        if self._late:
            return float("-inf")
        return (now if self._asked is None else self._asked) + _SILENT

    def submit(self, task: Task[Any]) -> Future[Any]:
        """Start a task; the future raises NotStartedError if the actor does not start in time."""
        self._task += 1
        self._late, self._asked = False, None
        self._future = Future()
        done = self._actor.run.remote(pickle.dumps(task)).future()
        done.add_done_callback(partial(self._settle, self._future))
        return self._future

    def alive(self) -> bool:
        """Return whether the actor answers at once."""
        import ray

        try:
            ray.get(self._actor.seconds_left.remote(), timeout=_ALIVE)
        except ray.exceptions.RayError:
            return False
        return True

    def kill(self) -> None:
        """End the actor, whatever it is doing."""
        import ray

        self._timer.cancel()
        ray.kill(self._actor)

    def close(self) -> Future[Any] | None:
        """Start to close what the worker keeps; None if it could not run anything."""
        if self._refused is not None:
            return None
        future: Future[Any] = Future()
        self._actor.close.remote().future().add_done_callback(partial(self._settle, future))
        return future

    def stop(self) -> None:
        """End the actor, which is closed or killed."""
        self.kill()

    def _started(self, begun: Future[Any]) -> None:
        import ray

        error = begun.exception()
        if isinstance(error, ray.exceptions.RayTaskError):
            self._refused = UnavailableError(
                f"a node of the cluster cannot run EditLoop: {error.cause}",
                value=self._place.node,
                fix="give all nodes the same environment and folders, at the same paths",
            )
        elif error is None:
            self._timer.cancel()
            self._ready.set()

    def _give_up(self) -> None:
        _fail(self._future, NotStartedError(f"no worker within {_STARTING:.0f} s"))

    def _answered(self, task: int, answer: Future[Any]) -> None:
        if task != self._task:
            return
        self._asked, self._next = None, time.monotonic() + _ASKING
        self._late = answer.exception() is None and answer.result() <= 0

    def _settle(self, future: Future[Any], done: Future[Any]) -> None:
        import ray

        error = done.exception()
        if self._refused is not None:
            _fail(future, self._refused)
        elif error is None:
            value, raised = done.result()
            if raised is not None:
                _fail(future, raised)
            else:
                with suppress(InvalidStateError):
                    future.set_result(value)
        elif isinstance(error, ray.exceptions.RayTaskError):  # such as a value without a pickle
            _fail(future, error)
        else:
            lost = BrokenExecutor if self._ready.is_set() else NotStartedError
            _fail(future, lost(str(error)))


def _fail(future: Future[Any], error: BaseException) -> None:
    with suppress(InvalidStateError):  # it was given up before
        future.set_exception(error)


def _device(place: RayPlace) -> str:
    """Return the device's name in the actor, to which Ray shows only its own GPUs."""
    return "cuda" if place.gpus else "cpu"


def _new_actor(place: RayPlace) -> Any:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    made = ray.remote(concurrency_groups={"signs": 1})(_host())
    return made.options(
        num_cpus=place.cpus,
        num_gpus=place.gpus,
        scheduling_strategy=NodeAffinitySchedulingStrategy(place.node, soft=False),
    ).remote()


def _host() -> type:
    """Return the class of the actors.

    It is defined here so that Ray sends its code: the node's process cannot import this package
    before `start` has given it the driver's module search path.
    """

    class Host:
        def __init__(self) -> None:
            self._due = float("inf")

        def start(self, path: list[str], folder: str, device: str) -> None:
            """Make this process a worker that finds modules and files as the driver does."""
            import os
            import sys

            sys.path[:] = [*path, *(each for each in sys.path if each not in path)]
            os.chdir(folder)
            from editloop.kernel.engines.processes import become_worker

            become_worker(device, self._heard)

        def run(self, pickled: bytes) -> tuple[Any, BaseException | None]:
            """Return a task's value, or the error that it raised."""
            import pickle

            from editloop.kernel.engines.processes import run_in_worker

            try:
                task = pickle.loads(pickled)
                self._heard(task.deadline)
                return run_in_worker(task), None
            except BaseException as error:
                return None, error
            finally:
                self._due = float("inf")

        def close(self) -> tuple[None, BaseException | None]:
            from editloop.kernel.engines.processes import close_worker

            try:
                close_worker()
            except BaseException as error:
                return None, error
            return None, None

        def seconds_left(self) -> float:
            """Return the seconds until the next sign of life must follow."""
            import time

            return self._due - time.monotonic()

        def _heard(self, seconds: float) -> None:
            import time

            self._due = time.monotonic() + seconds

    Host.seconds_left = _in_group(Host.seconds_left)  # type: ignore[method-assign]
    return Host


def _in_group(method: Any) -> Any:
    import ray

    return ray.method(concurrency_group="signs")(method)
