"""What comes next is made ready in threads while the device works on what is there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["one_ahead", "some_ahead"]

_Batch = TypeVar("_Batch")
_Item = TypeVar("_Item")


def one_ahead(make: Callable[[int], _Batch], steps: range) -> Iterator[tuple[int, _Batch]]:
    """Each step with what `make` gives for it; the following one is being made meanwhile."""
    with ThreadPoolExecutor(1, "editloop-batches") as pool:
        following = {step: pool.submit(make, step) for step in steps[:1]}
        try:
            for step in steps:
                batch = following.pop(step).result()
                if step + steps.step in steps:
                    following[step + steps.step] = pool.submit(make, step + steps.step)
                yield step, batch
        finally:
            for waiting in following.values():
                waiting.cancel()


def some_ahead(
    make: Callable[[_Item], _Batch], items: Iterable[_Item], threads: int
) -> Iterator[_Batch]:
    """What `make` gives for each item, in order; two for each thread are made ahead."""
    with ThreadPoolExecutor(threads, "editloop-ahead") as pool:
        waiting: deque[Future[_Batch]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()
