"""Training in several processes: the first one leads, the others run the same steps.

A launcher (`accelerate launch`, `torchrun`) starts the same command several times. Only the leader
reads recipes, builds caches and writes files. It calls functions in the other processes by
`others`; they wait for calls in `follow` until `dismiss`. A call is a key of the process group's
store that the others look for, not a collective: however long the leader prepares data, no time-out
ends their wait, and they use no processor or GPU meanwhile. Each process leaves the process group
before Python exits: threads of torch may still hold tensors, and one that releases them while the
interpreter shuts down aborts the process (pytorch issue 190489).
"""

from __future__ import annotations

import atexit
import gc
import pickle
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from torch.distributed import distributed_c10d

from editloop.errors import TrainingError

__all__ = ["Calls", "dismiss", "follow", "is_leader", "others", "spreads_weights"]

_TIMEOUT = timedelta(hours=2)  # of a collective: the others wait while a checkpoint is written
_POLL = 0.5  # seconds


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
    _calls().post((function, arguments))


def follow() -> None:
    """Run the calls from the leader until `dismiss`."""
    while (call := _calls().take()) is not None:
        function, arguments = call
        function(*arguments)
    _end_together()


def dismiss() -> None:
    """End `follow` in the other processes."""
    _calls().post(None)
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


class Calls:
    """Calls in a store: the leader posts them, each other process takes all of them in order."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._number = 0

    def post(self, call: Any) -> None:
        """Post a picklable call; without a store there is nobody to take it."""
        if self._store is not None:
            self._store.set(self._key(), pickle.dumps(call))

    def take(self) -> Any:
        """Wait for the next call, for any time; raise TrainingError if the store is gone."""
        if self._store is None:
            return None
        key = self._key()
        try:
            while not self._store.check([key]):
                time.sleep(_POLL)
            return pickle.loads(self._store.get(key))  # written by the leader
        except RuntimeError as error:
            raise TrainingError(
                "the main process of this training is gone",
                value=str(error).partition("\n")[0],
                fix="see the main process's own error, then run again",
            ) from error

    def _key(self) -> str:
        self._number += 1
        return f"editloop/call/{self._number}"


@cache
def _calls() -> Calls:
    alone = PartialState().num_processes == 1
    return Calls(None if alone else distributed_c10d._get_default_store())
