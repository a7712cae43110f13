"""Prefetching: the next items are prepared in threads while the device processes this one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["prefetched"]

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


def prefetched(
    make: Callable[[_Item], _Made], items: Iterable[_Item], threads: int, *, depth: int = 2
) -> Iterator[_Made]:
    """Yield `make(item)` for each item, in order; each thread prepares up to `depth` ahead."""
    with ThreadPoolExecutor(threads, "editloop-prefetch") as pool:
        waiting: deque[Future[_Made]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) > depth * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()
