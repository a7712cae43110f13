"""The progress of a build."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a build: shard segments done and in total, samples made in this run."""

    done: int
    total: int
    samples: int
