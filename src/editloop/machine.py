"""The machine we run on, as far as work is divided by it."""

from __future__ import annotations

import os

__all__ = ["cores"]


def cores() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
