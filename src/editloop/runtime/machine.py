"""The machine we run on: how work is divided by it, and where networks run."""

from __future__ import annotations

import os

__all__ = ["cores", "device"]


def cores() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device() -> str:
    """Where networks run: the GPU, where there is one."""
    import torch  # not before a network is needed

    return "cuda" if torch.cuda.is_available() else "cpu"
