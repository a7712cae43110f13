"""Training in several processes: the first one leads, the others run the same steps.

A launcher (`accelerate launch`, `torchrun`) starts the same command several times. Only the leader
reads recipes, builds caches and writes files. It calls functions in the other processes by
`others`; they wait for calls in `follow` until `dismiss`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, parse_flag_from_env

__all__ = ["dismiss", "follow", "is_leader", "others", "spreads_weights"]

_TIMEOUT = timedelta(days=7)  # the other processes wait while the leader builds a cache


def is_leader() -> bool:
    """Return whether this process is the leader; the first call initialises the process group."""
    # accelerate initialises a process group on CPUs only with `cpu=True`
    cpu_only = not torch.accelerator.is_available()
    return bool(PartialState(cpu=cpu_only, timeout=_TIMEOUT).is_main_process)


def spreads_weights() -> bool:
    """Return whether the launcher requests sharding the network (FSDP), after initialisation."""
    return torch.distributed.is_initialized() and parse_flag_from_env("ACCELERATE_USE_FSDP")


def others(function: Callable[..., None], *arguments: Any) -> None:
    """Make a picklable call in every other process; returns without waiting for it."""
    _broadcast((function, arguments))


def follow() -> None:
    """Run the calls from the leader until `dismiss`."""
    while (call := _broadcast(None)) is not None:
        function, arguments = call
        function(*arguments)


def dismiss() -> None:
    """End `follow` in the other processes."""
    _broadcast(None)


def _broadcast(call: Any) -> Any:
    """Broadcast the leader's call; returns it in every process."""
    if PartialState().num_processes == 1:
        return call
    received = broadcast_object_list([call], from_process=0)
    return received[0]
