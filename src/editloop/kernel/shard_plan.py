"""The plan of a build: the items of its sources, divided into shards, in a file.

Listing is cheap (nothing is decoded), so it is repeated at every start to detect changed inputs.
The file holds two lines of JSON for each shard: its name and its items. The driver keeps only the
offsets of the lines, and a worker reads those of its own shard.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from editloop.errors import CorruptError, StepError
from editloop.kernel.steps import Source, SourceItem
from editloop.schema import Json
from editloop.storage.files import Files, NewFile, check_plain, explained, file_hash, temporary

__all__ = ["IdSet", "ShardPlan", "ShardRef", "load_plan", "make_plan", "read_items", "short_hash"]


@dataclass(frozen=True, slots=True)
class ShardRef:
    """A shard of a plan: items of one source and split, and their position in the plan's file."""

    name: str
    source: int
    split: str
    fingerprint: str  # of the items
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """All shards in a fixed order, in which each split is published.

    `inputs` holds the number of items and their digest, by source and split.
    """

    path: Path
    shards: tuple[ShardRef, ...]
    inputs: Mapping[str, Json]

    @property
    def splits(self) -> list[str]:
        return sorted({shard.split for shard in self.shards})

    def of_split(self, split: str) -> Iterator[ShardRef]:
        """Return the shards of a split, in the order in which they are published."""
        return (shard for shard in self.shards if shard.split == split)


class IdSet:
    """A set of ids that detects repeats, using eight bytes per id."""

    def __init__(self) -> None:
        self._hashes = array("Q")

    def add(self, name: str) -> None:
        self._hashes.append(short_hash(name))

    def repeats(self, names: Iterable[str]) -> list[str]:
        """Return the repeated ones among `names`, which are all the ids that were added.

        `names` is iterated only if two hashes collide.
        """
        values, counts = np.unique(np.frombuffer(self._hashes, np.uint64), return_counts=True)
        twice = set(values[counts > 1].tolist())
        seen: set[str] = set()
        repeated: list[str] = []
        for name in names if twice else ():
            if short_hash(name) in twice:
                if name in seen:
                    repeated.append(name)
                seen.add(name)
        return repeated


def make_plan(
    sources: Mapping[str, Source], folder: Path, shard_size: int, files: Files
) -> ShardPlan:
    """List every source and write the plan's file into `folder`, named by its content's hash.

    Raises StepError if two items share an id, an id cannot be stored, or nothing is listed.
    """
    with explained("write a plan", folder):
        files.make_folder(folder)
        writer = _PlanWriter(files, folder)
        try:
            for index, (name, source) in enumerate(sources.items()):
                for split, items in _shards(source.items(), shard_size):
                    writer.add(index, name, split, items)
            plan = writer.finish()
        finally:
            writer.close()
    if not plan.shards:
        raise StepError("the sources contain no pictures", fix="check the sources' settings")
    repeated = writer.ids.repeats(
        item.id for shard in plan.shards for item in read_items(plan.path, shard, files)
    )
    if repeated:
        raise StepError("two inputs have the same id", value=repeated[0], fix="make the ids unique")
    return plan


def load_plan(path: Path, files: Files) -> ShardPlan:
    """Read the plan that `make_plan` wrote; raises CorruptError if the file was changed."""
    contents = _Contents()
    with explained("read a plan", path):
        if not path.stem.endswith(file_hash(files, path)[:16]):
            raise _corrupt(path)
        with files.read(path) as handle:
            while line := handle.readline():
                head = json.loads(line)
                offset = handle.tell()
                line = handle.readline()
                contents.add(head, offset, line, len(json.loads(line)))
    return contents.plan(path)


class _PlanWriter:
    def __init__(self, files: Files, folder: Path) -> None:
        self.ids = IdSet()
        self._files = files
        self._folder = folder
        self._file = NewFile(files, temporary(folder / "plan"))
        self._contents = _Contents()

    def add(self, index: int, source: str, split: str, items: Sequence[SourceItem]) -> None:
        for name in (source, split):
            check_plain(name, "a source or split")
        for item in items:
            _check_storable(item.id)
            self.ids.add(item.id)
        line = _line([[item.id, item.split, item.uri, dict(item.parameters)] for item in items])
        self._file.write(_line([index, source, split]))
        self._contents.add((index, source, split), self._file.size, line, len(items))
        self._file.write(line)

    def finish(self) -> ShardPlan:
        self._file.finish()
        path = self._folder / f"plan-{self._file.sha256[:16]}.jsonl"
        self._files.rename(self._file.path, path)
        self._files.sync_path(self._folder)
        return self._contents.plan(path)

    def close(self) -> None:
        self._file.close()


class _Contents:
    """The shards of a plan's file, collected while writing or reading it, and split digests."""

    def __init__(self) -> None:
        self._shards: list[ShardRef] = []
        self._splits: dict[tuple[str, str], _Split] = {}

    def add(self, head: tuple[int, str, str], offset: int, line: bytes, items: int) -> None:
        index, source, split = head
        of_split = self._splits.setdefault((source, split), _Split())
        name = f"{source}-{split}-{of_split.shards:05d}"
        fingerprint = hashlib.sha256(line).hexdigest()[:16]
        self._shards.append(ShardRef(name, index, split, fingerprint, offset, len(line)))
        of_split.add(line, items)

    def plan(self, path: Path) -> ShardPlan:
        inputs: dict[str, dict[str, Json]] = {}
        for (source, split), of_split in self._splits.items():
            inputs.setdefault(source, {})[split] = of_split.to_json()
        return ShardPlan(path, tuple(self._shards), inputs)


class _Split:
    """The number of items a source has in a split, and a hash of them all."""

    def __init__(self) -> None:
        self.shards = 0
        self._items = 0
        self._hash = hashlib.sha256()

    def add(self, line: bytes, items: int) -> None:
        self.shards += 1
        self._items += items
        self._hash.update(line)

    def to_json(self) -> Json:
        return {"items": self._items, "digest": self._hash.hexdigest()[:16]}


def read_items(path: Path, shard: ShardRef, files: Files) -> list[SourceItem]:
    """Read the items of a shard; raises CorruptError if the plan's file was changed."""
    with explained("read a plan", path), files.read(path) as handle:
        handle.seek(shard.offset)
        line = handle.read(shard.length)
    if hashlib.sha256(line).hexdigest()[:16] != shard.fingerprint:
        raise _corrupt(path)
    return [SourceItem(*row) for row in json.loads(line)]


def _shards(items: Iterable[SourceItem], size: int) -> Iterator[tuple[str, list[SourceItem]]]:
    """Divide items into shards of one split each, in order; a split's last shard may be short."""
    unfinished: dict[str, list[SourceItem]] = {}
    for item in items:
        shard = unfinished.setdefault(item.split, [])
        shard.append(item)
        if len(shard) == size:
            yield item.split, unfinished.pop(item.split)
    yield from unfinished.items()


def _line(value: Json) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"{text}\n".encode("ascii")


def short_hash(name: str) -> int:
    """Return 64 bits of a name's hash."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")


def _check_storable(name: str) -> None:
    if not name or name.encode("utf-8", "ignore").decode() != name:
        raise StepError(
            "a source lists an id that cannot be stored as UTF-8",
            value=repr(name),
            fix="derive ids from escaped file names",
        )


def _corrupt(path: Path) -> CorruptError:
    return CorruptError(
        "a plan file is damaged or was changed", value=path, fix="run the recipe again"
    )
