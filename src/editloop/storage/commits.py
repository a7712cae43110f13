"""Commit records: a shard's key, its input fingerprint, its files and facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from editloop.schema import Json
from editloop.storage.files import check_below

__all__ = ["Commit", "ShardKey", "StoredTable"]


@dataclass(frozen=True, slots=True)
class ShardKey:
    """The key of a commit: a shard, the fingerprint of its inputs, and a generation."""

    shard: str
    fingerprint: str
    generation: int = 0

    def __str__(self) -> str:
        return f"{self.shard}@{self.fingerprint}@{self.generation}"

    @classmethod
    def parse(cls, name: str) -> ShardKey:
        """Parse the key at the start of the name of a file or record."""
        shard, fingerprint, generation = name.removesuffix(".json").split("@")[:3]
        return cls(shard, fingerprint, int(generation))


@dataclass(frozen=True, slots=True)
class StoredTable:
    """A committed table: its file name in `files/`, and the expected hash, rows and bytes."""

    path: str
    sha256: str
    rows: int
    bytes: int

    def __post_init__(self) -> None:
        check_below(self.path, "a table")


@dataclass(frozen=True, slots=True)
class Commit:
    """A committed shard: its tables, and the facts (counts, digests) recorded with them."""

    key: ShardKey
    files: Mapping[str, StoredTable]
    facts: Mapping[str, Json] = field(default_factory=dict)

    @property
    def shard(self) -> str:
        return self.key.shard

    @property
    def fingerprint(self) -> str:
        return self.key.fingerprint

    def to_json(self) -> Json:
        """Return the body of the commit's record."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Json) -> Commit:
        """Return the commit that a record's body describes."""
        files = {table: StoredTable(**stored) for table, stored in body["files"].items()}
        return cls(ShardKey(**body["key"]), files, body["facts"])
