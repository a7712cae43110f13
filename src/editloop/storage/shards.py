"""A folder of committed shards: the first commit of a shard wins, and readers see only commits.

A shard's tables are written under names unique to the attempt and verified; then a record, created
exclusively, commits them. Files without a record are orphans. Records hold no times, so the same
work gives the same content.

    FOLDER/files/SHARD@FINGERPRINT@GENERATION@TABLE@ATTEMPT.parquet
    FOLDER/commits/SHARD@FINGERPRINT@GENERATION.json

A generation replaces the one before it: `retry` commits 1 over 0, and so on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from editloop.errors import CorruptError, StoreError
from editloop.schema import Json
from editloop.storage.commits import Commit, ShardKey, StoredTable
from editloop.storage.files import (
    Files,
    NewFile,
    check_plain,
    explained,
    file_hash,
    replace_file,
    sweep_temporaries,
    temporary,
)
from editloop.storage.locks import shared_lock, try_lock
from editloop.storage.parquet import TableWriter, read_batches
from editloop.storage.records import decode_record, encode_record

__all__ = ["Problem", "ShardStore"]

_CLEANED = "cleaned"  # a file among the records: the tables were removed on purpose
_RECORD = re.compile(r"[^@]+@[^@]+@\d+\.json")


@dataclass(frozen=True, slots=True)
class Problem:
    """A file or record that differs from its committed state."""

    path: Path
    cause: str

    def __str__(self) -> str:
        return f"{self.path}: {self.cause}"


class ShardStore:
    """Commits shards to a folder and reads them back with verification."""

    def __init__(self, folder: Path, files: Files | None = None) -> None:
        self.folder = folder
        self.files = files or Files()
        self._data = folder / "files"
        self._records = folder / "commits"

    def commit(
        self,
        shard: str,
        tables: Mapping[str, pa.Table],
        *,
        fingerprint: str,
        facts: Mapping[str, Json] | None = None,
        generation: int = 0,
    ) -> Commit:
        """Commit tables as a shard; returns the existing commit if there is one.

        Raises StoreError if the disk fails; then nothing is committed.
        """
        for name in (shard, fingerprint, *tables):
            check_plain(name, "a shard, fingerprint or table")
        key = ShardKey(shard, fingerprint, generation)
        with explained("commit a shard", self.folder):
            self.files.make_folder(self._data)
            self.files.make_folder(self._records)
            with shared_lock(self.folder / "attempts.lock"):
                stored = {name: self._write(key, name, table) for name, table in tables.items()}
                self.files.sync_path(self._data)
                commit = Commit(key, stored, dict(facts or {}))
                if self._record(commit):
                    return commit
                for table in stored.values():
                    self.files.remove(self._data / table.path)
        return self._must_find(key)

    def _write(self, key: ShardKey, name: str, table: pa.Table) -> StoredTable:
        path = self._data / f"{key}@{name}@{uuid4().hex[:12]}.parquet"
        hidden = temporary(path)
        writer = TableWriter(self.files, hidden, table.schema)
        try:
            writer.write(table)
            written = writer.finish()
        finally:
            writer.close()
        self.files.rename(hidden, path)
        return StoredTable(path.name, written.sha256, written.rows, written.bytes)

    def _record(self, commit: Commit) -> bool:
        """Create the commit's record; returns False if another commit was first."""
        path = self._records / f"{commit.key}.json"
        new = NewFile(self.files, temporary(path))
        try:
            new.write(encode_record(commit.to_json()))
            new.finish()
        finally:
            new.close()
        try:
            self.files.link(new.path, path)
        except FileExistsError:
            return False
        finally:
            self.files.remove(new.path)
        self.files.sync_path(self._records)
        return True

    def find(self, shard: str, fingerprint: str, generation: int = 0) -> Commit | None:
        """Return a shard's commit, or None; raises CorruptError if its record is damaged."""
        key = ShardKey(shard, fingerprint, generation)
        path = self._records / f"{key}.json"
        with explained("read a commit record", path):
            try:
                with self.files.read(path) as handle:
                    data = handle.read()
            except FileNotFoundError:
                return None
        commit = Commit.from_json(decode_record(data, path))
        if commit.key != key:
            raise CorruptError(
                "a commit record has the file name of another one", value=path, fix="delete it"
            )
        return commit

    def _must_find(self, key: ShardKey) -> Commit:
        commit = self.find(key.shard, key.fingerprint, key.generation)
        if commit is None:
            raise StoreError(
                "a commit record has disappeared",
                value=self._records / f"{key}.json",
                fix="run again",
            )
        return commit

    def keys(self) -> set[ShardKey]:
        """Return the keys of all commits from one folder listing; no record is opened."""
        with explained("list commit records", self._records):
            names = self.files.names(self._records)
        return {ShardKey.parse(name) for name in names if _RECORD.fullmatch(name)}

    def commits(self) -> list[Commit]:
        """Return the newest commit of each shard, sorted by name."""
        keys = sorted(self.keys(), key=lambda key: (key.shard, key.fingerprint, key.generation))
        newest = {(key.shard, key.fingerprint): key for key in keys}
        return [self._must_find(key) for key in newest.values()]

    def read(
        self, commit: Commit, table: str = "data", columns: list[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a committed table; raises CorruptError if a hash or checksum fails."""
        stored = commit.files[table]
        path = self._data / stored.path
        with explained("read a shard", path):
            self._verify_file(stored)
            with self.files.read(path) as handle:
                yield from read_batches(handle, path, columns)

    def table(self, commit: Commit, table: str, schema: pa.Schema) -> pa.Table:
        """Return a committed table with the columns of `schema`; empty if it was not written.

        Columns and struct fields that an older version did not write are null.
        """
        batches = [] if table not in commit.files else list(self.read(commit, table, schema.names))
        if not batches:
            return schema.empty_table()
        found = pa.Table.from_batches(batches)
        for column in schema:
            if column.name not in found.column_names:
                found = found.append_column(column, pa.nulls(len(found), column.type))
        return found.select(schema.names).cast(schema)

    def _verify_file(self, stored: StoredTable) -> None:
        path = self._data / stored.path
        try:
            whole = file_hash(self.files, path) == stored.sha256
        except FileNotFoundError:
            whole = False
        if not whole:
            raise CorruptError(
                "a committed file is missing or differs from its commit record",
                value=path,
                fix="restore it from a copy, or delete its commit record to rebuild the shard",
            )

    def clean(self) -> int:
        """Remove the tables of all commits and keep their records; returns the bytes removed."""
        with explained("clean a folder", self.folder):
            paths = [self._data / name for name in self.files.names(self._data)]
            removed = sum(path.stat().st_size for path in paths)
            if paths:  # the mark first: from then on they may be missing
                replace_file(self.files, self._records / _CLEANED, b"")
            for path in paths:
                self.files.remove(path)
        return removed

    def forget_cleaned(self) -> None:
        """Remove the records of a cleaned folder, so that its shards are made again."""
        with explained("rebuild a folder", self.folder):
            if (self._records / _CLEANED).exists():
                for key in self.keys():
                    self.files.remove(self._records / f"{key}.json")
                self.files.remove(self._records / _CLEANED)

    def verify(self) -> list[Problem]:
        """Return every record and file that differs from its committed state.

        The tables of a cleaned folder may be missing.
        """
        problems: list[Problem] = []
        cleaned = (self._records / _CLEANED).exists()
        for key in sorted(self.keys(), key=str):
            try:
                stored = self._must_find(key).files.values()
                problems += [] if cleaned else self._damaged(stored)
            except StoreError as error:
                problems.append(Problem(self._records / f"{key}.json", error.cause))
        return problems

    def _damaged(self, tables: Iterable[StoredTable]) -> Iterator[Problem]:
        for stored in tables:
            try:
                self._verify_file(stored)
            except CorruptError as error:
                yield Problem(self._data / stored.path, error.cause)

    def sweep(self, keep: frozenset[ShardKey] | None = None) -> None:
        """Remove orphans, and also every commit that is not in `keep`, if given.

        Does nothing while another process is committing here, as its files have no record yet.
        """
        with explained("sweep a folder", self.folder), self._alone() as alone:
            if not alone:
                return
            committed = self.keys()
            for key in committed - (committed if keep is None else keep):
                self.files.remove(self._records / f"{key}.json")
            kept = {str(key) for key in (committed if keep is None else committed & keep)}
            sweep_temporaries(self.files, self._records)
            sweep_temporaries(self.files, self._data)
            self._sweep_files(kept)

    def _sweep_files(self, kept: set[str]) -> None:
        attempts: dict[str, list[str]] = {}
        for name in self.files.names(self._data):
            key, _, rest = name.rpartition("@")
            if key.rpartition("@")[0] in kept:
                attempts.setdefault(key, []).append(rest)
            else:
                self.files.remove(self._data / name)
        for key, ends in attempts.items():
            if len(ends) > 1:  # a losing commit whose process died before cleaning up
                shard = ShardKey.parse(key)
                won = {stored.path for stored in self._must_find(shard).files.values()}
                for name in {f"{key}@{end}" for end in ends} - won:
                    self.files.remove(self._data / name)

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        if not self.folder.is_dir():
            yield False
            return
        with try_lock(self.folder / "attempts.lock") as alone:
            yield alone
