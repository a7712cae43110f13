"""The machine: its processor cores, and the device on which networks run."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from editloop.runtime.launcher import local_place

__all__ = ["at_most", "cores", "device", "gpus"]

_LOCAL = threading.local()


@contextmanager
def at_most(cores: int) -> Iterator[None]:
    """Let `cores` return no more than this in the block, in this thread."""
    before = getattr(_LOCAL, "most", None)
    _LOCAL.most = cores
    try:
        yield
    finally:
        _LOCAL.most = before


def cores() -> int:
    """Return the number of processor cores that this process, or its current task, may use.

    The processes that a launcher started on one machine share its cores.
    """
    most = getattr(_LOCAL, "most", None)
    return _cores() if most is None else min(most, _cores())


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # not available on every system
        every = len(os.sched_getaffinity(0))
    else:
        every = os.cpu_count() or 1
    return max(1, every // local_place()[1])


def device() -> str:
    """Return the PyTorch device for networks: `cuda` if available, else `cpu`."""
    import torch  # imported only when a network is needed

    return "cuda" if torch.cuda.is_available() else "cpu"


def gpus() -> tuple[str, ...]:
    """Return the names of the GPUs that PyTorch can use, such as `cuda:0`; starts none of them."""
    import torch

    return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
