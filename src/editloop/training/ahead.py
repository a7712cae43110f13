"""The next step's batch, read and drawn in a thread while the device works on this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["one_ahead"]

_Batch = TypeVar("_Batch")


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
