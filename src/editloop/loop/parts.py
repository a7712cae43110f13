"""The interface of train and evaluate entries of a recipe: parts of the loop that can resume.

The loop (`run.py`) gives a part its folders and publishes `output` when the part is complete. A
part keeps everything that must survive an interruption in `work`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from editloop.kernel.chunks import ChunkRunner
from editloop.schema import Json

__all__ = [
    "Checked",
    "Continuing",
    "Extending",
    "LoopPart",
    "Noticing",
    "PartContext",
    "PartResult",
]


@dataclass(frozen=True, slots=True)
class PartContext:
    """The folders and facts a part works with.

    `run` is the run folder (published data under `run/data`, models under `run/models`). `work`
    survives interruptions; `cache` also survives changed settings, so its files need their own
    fingerprints. `output` is published as a whole when the part returns. `inputs` is a fingerprint
    of everything upstream. `chunk_runner` returns a new runner with the command's workers and
    engine.
    """

    name: str
    seed: int
    run: Path
    work: Path
    cache: Path
    output: Path
    inputs: str
    workers: int = 1
    chunk_runner: Callable[[], ChunkRunner] = ChunkRunner


@dataclass(frozen=True, slots=True)
class PartResult:
    """The content for `results.json` (deterministic) and `timings.json` (seconds, costs)."""

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
class Noticing(Protocol):
    """A part that knows before it runs what of its data will be cut, lost or left out."""

    def notices(self, run: Path | None) -> Sequence[str]:
        """Return one line for each; `run` as in `Checked.check`."""
        ...


@runtime_checkable
class Continuing(Protocol):
    """A part whose unfinished work may go on although some of its parameters have changed."""

    def continues(self, before: Mapping[str, Json]) -> bool:
        """Return whether work with the parameters `before` may go on with the part's own."""
        ...


@runtime_checkable
class Extending(Protocol):
    """A part whose finished work may be taken further, such as a training of more steps.

    Its work folder is kept.
    """

    def extends(self, before: Mapping[str, Json]) -> bool:
        """Return whether finished work with the parameters `before` goes on with the part's own."""
        ...

    def trim(self, work: Path) -> None:
        """Remove from finished work what is not needed to take it further; may be called again."""
        ...


@runtime_checkable
class Checked(Protocol):
    """A part that can check its requirements before the run starts."""

    def check(self, run: Path | None) -> None:
        """Raise an EditLoopError, with cause and fix, if a requirement is missing or unusable.

        `run` is the folder whose published data the part will read; None if the data is not built
        yet. Only descriptions and first records are read, not weights.
        """
        ...
