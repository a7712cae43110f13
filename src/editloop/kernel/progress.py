"""How far a build is."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a build is: segments of shards done and in all, samples made since it started."""

    done: int
    total: int
    samples: int
