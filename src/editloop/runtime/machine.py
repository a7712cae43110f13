"""The machine: its processor cores, and the device on which networks run."""

from __future__ import annotations

import os

__all__ = ["cores", "device", "gpus"]


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not available on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device() -> str:
    """Return the PyTorch device for networks: `cuda` if available, else `cpu`."""
    import torch  # imported only when a network is needed

    return "cuda" if torch.cuda.is_available() else "cpu"


def gpus() -> tuple[str, ...]:
    """Return the names of the GPUs that PyTorch can use, such as `cuda:0`; starts none of them."""
    import torch

    return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
