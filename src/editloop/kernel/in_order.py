"""A stream of tasks through an engine, in order; what a lost worker leaves, a second one does."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from editloop.errors import StepError
from editloop.kernel.engines.base import Ended, Engine, Task
from editloop.kernel.resources import Resources

__all__ = ["Work", "run_in_order"]

_LOSSES = 2  # workers that a task may cost before the run ends


@dataclass(slots=True)
class Work:
    """A task under the name that errors give it; without a task nothing is left to do."""

    name: str
    task: Task[Any] | None
    value: Any = None
    losses: int = 0


_W = TypeVar("_W", bound=Work)


def run_in_order(
    engine: Engine, works: Iterator[_W], resources: Resources, *, ahead: bool = False
) -> Iterator[_W]:
    """Run the tasks, which all need these resources; yield each work in its order, with its value.

    With `ahead`, the next work is read while the workers are busy. Raises the first error of a
    task, when those that were running have ended; StepError if a task costs two workers.
    """
    return _Run(engine, works, resources, ahead).done()


@dataclass(slots=True)
class _Run(Generic[_W]):
    engine: Engine
    coming: Iterator[_W]
    resources: Resources
    ahead: bool
    order: deque[_W] = field(default_factory=deque)  # not yielded yet
    ready: deque[Task[Any]] = field(default_factory=deque)  # not submitted yet
    error: BaseException | None = None

    def done(self) -> Iterator[_W]:
        more = True
        while True:
            while self.error is None and (self.ready or more) and self.engine.free(self.resources):
                if self.ready:
                    self.engine.submit(self.ready.popleft())
                else:
                    more = self._read()
                    yield from self._finished()
            if self.ahead and self.error is None and more and not self.ready:
                more = self._read()
            ended = self.engine.wait()
            for each in ended:
                self._end(each)
            yield from self._finished()
            if not ended and (self.error is not None or not (self.ready or more)):
                break
        if self.error is not None:
            raise self.error

    def _finished(self) -> Iterator[_W]:
        while self.order and self.order[0].task is None:
            yield self.order.popleft()

    def _read(self) -> bool:
        """Read the next work; returns False if there is none."""
        work = next(self.coming, None)
        if work is None:
            return False
        self.order.append(work)
        if work.task is not None:
            self.ready.append(work.task)
        return True

    def _end(self, ended: Ended[Any]) -> None:
        work = next(each for each in self.order if each.task is ended.task)
        if ended.loss is not None:
            work.losses += 1
            self.ready.append(ended.task)
            if work.losses == _LOSSES:
                self.error = self.error or StepError(
                    f"the worker of a chunk was {ended.loss} twice",
                    value=work.name,
                    fix="run again, with fewer workers if memory ran out; finished chunks are kept",
                )
        elif ended.error is not None:
            self.error = self.error or ended.error
        else:
            work.value, work.task = ended.value, None
