"""What a train or evaluate entry of a recipe is: one whole part of the loop, resumable on its own.

The loop (`loop.py`) gives a part its folders and publishes what it leaves in `output` once it is
whole. What a part must not lose when interrupted, it keeps in `work`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from editloop.schema import Json

__all__ = ["Checked", "LoopPart", "PartContext", "PartResult"]


@dataclass(frozen=True, slots=True)
class PartContext:
    """The folders and facts a part works with.

    `run` is the run folder (published data under `run/data`, models under `run/models`). `work`
    survives interruptions; `cache` also survives changes of settings, so what lies there carries a
    fingerprint of its own. `output` is published as a whole when the part returns. `inputs`
    fingerprints everything upstream.
    """

    name: str
    seed: int
    run: Path
    work: Path
    cache: Path
    output: Path
    inputs: str
    workers: int = 1


@dataclass(frozen=True, slots=True)
class PartResult:
    """What goes to `results.json` (deterministic) and to `timings.json` (seconds, costs)."""

    results: Mapping[str, Json] = field(default_factory=dict)
    timings: Mapping[str, Json] = field(default_factory=dict)


class LoopPart(Protocol):
    """A training or a benchmark; `parameters` (JSON) and `version` enter the fingerprint."""

    @property
    def version(self) -> str: ...

    @property
    def parameters(self) -> Mapping[str, Json]: ...

    def run(self, context: PartContext) -> PartResult: ...


@runtime_checkable
class Checked(Protocol):
    """A part that can say, before anything is made, that what it needs is not here or no use."""

    def check(self, run: Path | None) -> None:
        """Raise an EditLoopError that names what is wrong and how to mend it.

        `run` is the folder whose published data the part will read; None where that is still to be
        made. Descriptions and first records are read, weights are not.
        """
        ...
