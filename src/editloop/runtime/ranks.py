"""The processes of a launcher: the first one leads, the others make calls for it.

A launcher (`accelerate launch`, `torchrun`) starts the same command several times. Only the leader
reads recipes, plans, writes results and prints. The others connect to it and make its calls, such
as to start a worker or to train a share of each batch, until it has finished (`together`). They
wait in a read, not in a collective: however long the leader prepares data, no time-out ends their
wait, and they use no processor or GPU meanwhile. Each process leaves the process group before
Python exits: threads of torch may still hold tensors, and one that releases them while the
interpreter shuts down aborts the process (pytorch issue 190489).
"""

from __future__ import annotations

import atexit
import gc
import json
import pickle
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from torch.distributed import distributed_c10d

from editloop.errors import EditLoopError, UnavailableError
from editloop.runtime.launcher import host_of_leader, local_place
from editloop.runtime.machine import cores, gpus
from editloop.runtime.peers import Peer, connect, new_secret, read_secret, serve_all

__all__ = ["Member", "is_leader", "leads", "members", "others", "spreads_weights", "together"]

_T = TypeVar("_T")

_TIMEOUT = timedelta(hours=2)  # of a collective: the others wait while a checkpoint is written
_JOINING = 120.0  # seconds until all processes must be connected; all are running by then
_ADDRESS = "editloop/leader"


@dataclass(frozen=True, slots=True)
class Member:
    """A process of the launcher: its cores, its machine's GPUs, its number on its machine.

    `peer` is None for the leader itself.
    """

    cores: int
    gpus: tuple[str, ...] = ()
    local: tuple[int, int] = (0, 1)  # number on the machine, of how many
    peer: Peer | None = None

    def share(self, devices: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return the process's part of its machine's GPUs, or of these; one if there are fewer."""
        every = self.gpus if devices is None else tuple(devices)
        number, count = self.local
        return every[number::count] or every[number % max(1, len(every)) :][:1]


@dataclass(slots=True)
class _State:
    """The calls of `together` in this process: how many, and whether one is running."""

    number: int = 0
    inside: bool = False
    leading: bool = False
    ended: tuple[int, Any, BaseException | None] = (0, None, None)  # number, value, error


_STATE = _State()
_OTHERS: dict[int, Member] = {}  # of the leader, by rank


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


def leads() -> bool:
    """Return whether this process leads a call of `together` now."""
    return _STATE.leading


def together(call: Callable[[], _T]) -> _T:
    """Make a call in the leader, and in the other processes what the leader asks for meanwhile.

    Every process returns the call's value or raises its error. A call within another one is plain.
    Raises UnavailableError if the leader ends before its call does.
    """
    if _STATE.inside:
        return call()
    _STATE.number += 1
    _STATE.inside = True
    try:
        return _lead(call) if is_leader() else _follow()
    finally:
        _STATE.inside = _STATE.leading = False


def others(function: Callable[..., None], *arguments: Any) -> None:
    """Make a picklable call in every other process; returns without waiting for it."""
    for member in members() if _STATE.leading else ():
        if member.peer is not None:
            member.peer.call(_called, _STATE.number, function, arguments)


@cache
def members() -> tuple[Member, ...]:
    """Return all processes, the leader, which is this one, first; connects them.

    Raises UnavailableError if one of them does not connect.
    """
    state, local = PartialState(), local_place()
    own = Member(cores(), gpus(), local)
    count = state.num_processes - 1
    if not count:
        return (own,)
    near = local[1] == state.num_processes
    folder = Path(tempfile.gettempdir()) if near else Path.cwd()
    with new_secret(folder) as (path, secret), _listener(near) as listener:
        host = "127.0.0.1" if near else host_of_leader()
        address = [host, listener.getsockname()[1], str(path)]
        distributed_c10d._get_default_store().set(_ADDRESS, json.dumps(address))
        try:
            serve_all(listener, secret, lambda: len(_OTHERS) == count, _JOINING)
        except TimeoutError:
            raise UnavailableError(
                "not all processes of the launcher have connected to the first one",
                value=f"{len(_OTHERS)} of {count}",
                fix="let its machines reach each other on all ports; see what the processes print",
            ) from None
    return own, *(_OTHERS[rank] for rank in sorted(_OTHERS))


def _listener(near: bool) -> socket.socket:
    """Return a listening socket, for processes of this machine only or for any."""
    if near:
        return socket.create_server(("127.0.0.1", 0))
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


@cache
def _leader() -> Peer:
    """Return the leader, to which this process connects."""
    host, port, path = json.loads(distributed_c10d._get_default_store().get(_ADDRESS))
    peer = connect(host, port, read_secret(Path(path)))
    own = Member(cores(), gpus(), local_place())
    peer.call(_introduced, PartialState().process_index, own)
    return peer


def _introduced(peer: Peer, rank: int, member: Member) -> None:
    _OTHERS[rank] = replace(member, peer=peer)


def _lead(call: Callable[[], _T]) -> _T:
    members()
    _STATE.leading = True
    try:
        value = call()
    except BaseException as error:
        _tell_end(None, error)
        raise
    _tell_end(value, None)
    _end_together()
    return value


def _tell_end(value: Any, error: BaseException | None) -> None:
    for member in members():
        if member.peer is not None:
            with suppress(OSError):
                member.peer.call(_ended, _STATE.number, value, _picklable(error))


def _picklable(error: BaseException | None) -> BaseException | None:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return EditLoopError(f"{type(error).__name__}: {error}")
    return error


def _follow() -> Any:
    """Make the calls of the leader until its own call ends; return the value of that."""
    leader = _leader()
    while _STATE.ended[0] < _STATE.number:
        try:
            call = leader.take()
        except (EOFError, OSError):
            leader.end()
            raise UnavailableError(
                "the main process of the launcher is gone",
                fix="see the main process's own error, then run again",
            ) from None
        call()
    _, value, error = _STATE.ended
    if error is not None:
        raise error
    _end_together()
    return value


def _called(
    _: Peer, number: int, function: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    if number == _STATE.number:  # not left over from a call that failed here
        function(*arguments)


def _ended(_: Peer, number: int, value: Any, error: BaseException | None) -> None:
    _STATE.ended = number, value, error


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
