"""The launcher of this process (`torchrun`, `accelerate launch`), by the environment that it sets.

A launcher starts the same command several times. One process leads and does what the command says;
the others compute for it (`ranks.together`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ["forget_launcher", "host_of_leader", "is_launched", "leads", "led", "local_place"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_PREFIX = "TORCHELASTIC_"


def is_launched() -> bool:
    """Return whether a launcher started this process as one of several."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def local_place() -> tuple[int, int]:
    """Return this process's number on its machine, and how many the launcher started there."""
    if not is_launched():
        return 0, 1
    return int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def host_of_leader() -> str:
    """Return the host of the first process, where the others find it."""
    return os.environ["MASTER_ADDR"]


def forget_launcher() -> None:
    """Remove the launcher's variables from the environment of a process that it did not start."""
    for name in list(os.environ):
        if name in _NAMES or name.startswith(_PREFIX):
            del os.environ[name]


def leads() -> bool:
    """Return whether other processes of a launcher compute for this one now."""
    if not is_launched():
        return False
    from editloop.runtime import ranks

    return ranks.leads()


def led(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let one process of a launcher call a function, while the others compute for it.

    All of them return the value, or raise the error, of that one call. Both must be picklable.
    Without a launcher, and within such a call, it is an ordinary call.
    """

    @wraps(function)
    def called(*arguments: _P.args, **named: _P.kwargs) -> _T:
        if not is_launched():
            return function(*arguments, **named)
        from editloop.runtime import ranks  # imports torch

        return ranks.together(lambda: function(*arguments, **named))

    return called
