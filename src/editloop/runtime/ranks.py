"""One training by several processes: the first leads, the others do the same steps.

A launcher (`accelerate launch`, `torchrun`) starts the same command several times. Only the leader
reads recipes, builds caches and writes files. What it needs the others for it calls by `others`;
they wait for calls in `follow` until they are dismissed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, parse_flag_from_env

__all__ = ["dismiss", "follow", "is_leader", "others", "spreads_weights"]

_LONGEST = timedelta(days=7)  # building a cache may take long, and the others wait for it


def is_leader() -> bool:
    """Whether this process leads; the processes meet here first."""
    # accelerate lets processes on CPUs meet only where it is told that there is nothing else
    alone = not torch.accelerator.is_available()
    return bool(PartialState(cpu=alone, timeout=_LONGEST).is_main_process)


def spreads_weights() -> bool:
    """Whether the launcher asks to spread a network over the processes (FSDP), once they met."""
    return torch.distributed.is_initialized() and parse_flag_from_env("ACCELERATE_USE_FSDP")


def others(function: Callable[..., None], *arguments: Any) -> None:
    """Make a picklable call in every other process; returns at once."""
    _tell((function, arguments))


def follow() -> None:
    """Do what the leader calls, until it dismisses."""
    while (call := _tell(None)) is not None:
        function, arguments = call
        function(*arguments)


def dismiss() -> None:
    """End the others' waiting."""
    _tell(None)


def _tell(call: Any) -> Any:
    """The leader's call, in every process."""
    if PartialState().num_processes == 1:
        return call
    told = broadcast_object_list([call], from_process=0)
    return told[0]
