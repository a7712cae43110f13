"""Training in several processes: the first one leads, the others run the same steps.

A launcher (`accelerate launch`, `torchrun`) starts the same command several times. Only the leader
reads recipes, builds caches and writes files. It calls functions in the other processes by
`others`; they wait for calls in `follow` until `dismiss`. Each process leaves the process group
before Python exits: threads of torch may still hold tensors, and one that releases them while the
interpreter shuts down aborts the process (pytorch issue 190489).
"""

from __future__ import annotations

import atexit
import gc
import sys
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
    state = PartialState(cpu=cpu_only, timeout=_TIMEOUT)
    atexit.unregister(_leave_group)
    if state.backend == "gloo":  # NCCL must be left by all processes, so only after `_end_together`
        atexit.register(_leave_group)
    return bool(state.is_main_process)


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
    _end_together()


def dismiss() -> None:
    """End `follow` in the other processes."""
    _broadcast(None)
    _end_together()


def _end_together() -> None:
    """Wait until no process needs another; from then on each process may exit."""
    PartialState().wait_for_everyone()
    atexit.unregister(_leave_group)
    atexit.register(_leave_group)


def _leave_group() -> None:
    """Destroy the process group and its threads, which end when nothing refers to the group."""
    if not torch.distributed.is_initialized():
        return
    torch.distributed.destroy_process_group()
    for name in ("last_exc", "last_value", "last_traceback"):  # frames of a training that failed
        vars(sys).pop(name, None)
    gc.collect()


def _broadcast(call: Any) -> Any:
    """Broadcast the leader's call; returns it in every process."""
    if PartialState().num_processes == 1:
        return call
    received = broadcast_object_list([call], from_process=0)
    return received[0]
