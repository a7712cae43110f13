"""Faults between a client and a model server, and schedules for the fake server.

A schedule is any function from a request, of any endpoint, to a fault or None. `at_random` depends
on the request and not on its time, so the same requests get the same faults in any order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol, TypeAlias

from editloop.runtime.seeding import derive_seed

__all__ = [
    "MIXED",
    "PICTURES",
    "Asked",
    "Fault",
    "Schedule",
    "apply_fault",
    "at_random",
    "in_order",
]


class Fault(StrEnum):
    """Faults of the fake server: of transport, of replies, of a chat model's texts, of pictures."""

    FORBIDDEN = "403"
    RATE_LIMITED = "429"
    RATE_LIMITED_UNTIL = "429-retry-after"
    ERROR = "500"
    UNAVAILABLE = "503"
    OVERLOADED = "529"
    TIME_OUT = "time-out"  # no response is sent
    RESET = "reset"  # the connection is reset
    HALF = "half"  # the response is cut off in the middle
    NOT_JSON = "not-json"  # a web page with status 200
    FILTERED = "filtered"  # a content filter stops the reply
    REFUSAL = "refusal"  # the model refuses, in the protocol's own field
    THOUGHTS = "thoughts"  # the reply is in the protocol's field of thoughts, with no content
    TRUNCATED = "truncated"  # the reply ends at the length limit

    DECLINED = "declined"  # the model refuses in words
    MALFORMED = "malformed"  # the reply's JSON is not closed
    EMPTY = "empty"
    NAN = "nan"  # replaces every number
    OUT_OF_RANGE = "out-of-range"  # 777 replaces every number
    SURROGATE = "surrogate"  # half a character before the reply
    HUGE = "huge"  # a megabyte of prose before the reply

    UNCHANGED = "unchanged"  # the picture to edit comes back
    RESIZED = "another-size"  # the picture is half as large as asked for
    CROPPED = "another-shape"  # the picture has another aspect ratio
    SHIFTED = "shifted"  # the picture is moved by some pixels
    WRONG = "wrong-object"  # another edit is made than was asked for


class Asked(Protocol):
    """What a schedule sees of a request: its number, the hash of its content, its arrival."""

    @property
    def digest(self) -> str: ...

    @property
    def number(self) -> int: ...

    @property
    def arrival(self) -> int: ...


Schedule: TypeAlias = Callable[[Asked], Fault | None]

MIXED = (
    Fault.RATE_LIMITED,
    Fault.RATE_LIMITED_UNTIL,
    Fault.ERROR,
    Fault.TIME_OUT,
    Fault.RESET,
    Fault.MALFORMED,
    Fault.REFUSAL,
)

PICTURES = (
    Fault.FILTERED,
    Fault.UNCHANGED,
    Fault.SHIFTED,
    Fault.CROPPED,
    Fault.MALFORMED,
    Fault.RATE_LIMITED,
    Fault.ERROR,
    Fault.RESET,
)

_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def in_order(*faults: Fault | None) -> Schedule:
    """Return a schedule that gives each fault to one request, in order, then none."""
    return lambda asked: faults[asked.number] if asked.number < len(faults) else None


def at_random(
    rate: float, seed: int, faults: Sequence[Fault] = MIXED, *, in_a_row: int = 2
) -> Schedule:
    """Return a schedule of faults with probability `rate`, at most `in_a_row` per request."""

    def draw(asked: Asked) -> Fault | None:
        if asked.arrival >= in_a_row:
            return None
        if derive_seed(seed, asked.digest, asked.arrival) / 2**63 >= rate:
            return None
        return faults[derive_seed(seed, asked.digest, asked.arrival, "kind") % len(faults)]

    return draw


def apply_fault(reply: str, fault: Fault | None) -> str:
    """Apply a reply fault to a model's reply; other faults do not change it."""
    change = _CHANGES.get(fault) if fault is not None else None
    return reply if change is None else change(reply)


def _cut(reply: str) -> str:
    return reply[: len(reply) // 2]


_CHANGES: Mapping[Fault, Callable[[str], str]] = {
    Fault.FILTERED: lambda _: "",
    Fault.TRUNCATED: _cut,
    Fault.DECLINED: lambda _: "I'm sorry, but I can't help with that.",
    Fault.MALFORMED: _cut,
    Fault.EMPTY: lambda _: "",
    Fault.NAN: lambda reply: _NUMBER.sub("NaN", reply),
    Fault.OUT_OF_RANGE: lambda reply: _NUMBER.sub("777", reply),
    Fault.SURROGATE: lambda reply: f"\ud83d {reply}",
    Fault.HUGE: lambda reply: "blah " * 200_000 + reply,
}
