"""The store's face: what other modules need of a run folder's durable files.

Committed shards are in `shards`, published files and their manifests in `publication`, the versions
of a part in `versions`. This module reads a published set back and verifies a whole run folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from editloop.commits import Commit, ShardKey, StoredTable
from editloop.errors import StoreError
from editloop.files import Files, file_hash
from editloop.locks import lock
from editloop.parquet import read_rows
from editloop.publication import (
    Manifest,
    check_own,
    find_manifest,
    publish_folder,
    record_manifest,
    staging_folder,
    withdraw,
    write_file,
)
from editloop.records import decode_record, fingerprint
from editloop.schema import EditSample, from_row
from editloop.shards import Problem, ShardStore
from editloop.versions import check_version, claim_version, retire_versions, work_folder

__all__ = [
    "Commit",
    "Files",
    "Manifest",
    "Problem",
    "ShardKey",
    "ShardStore",
    "StoredTable",
    "check_own",
    "check_version",
    "claim_version",
    "find_manifest",
    "fingerprint",
    "lock",
    "publish_folder",
    "published_files",
    "read_samples",
    "record_manifest",
    "retire_versions",
    "staging_folder",
    "verify",
    "withdraw",
    "write_file",
]


def published_files(data: Path, split: str) -> list[Path]:
    """The Parquet files of a published split, in order; StoreError unless all are there."""
    ours = re.compile(rf"{re.escape(split)}-\d{{5}}-of-\d{{5}}\.parquet")
    paths = sorted(path for path in data.glob("*.parquet") if ours.fullmatch(path.name))
    total = len(paths)
    expected = [f"{split}-{index:05d}-of-{total:05d}.parquet" for index in range(total)]
    if not paths or [path.name for path in paths] != expected:
        others = {path.name.rsplit("-", 3)[0] for path in data.glob("*-*-of-*.parquet")} - {split}
        there = f"name one that is there, {', '.join(sorted(others))}, or " if others else ""
        raise StoreError(
            f"the data set has no whole split {split!r}",
            value=data,
            fix=f"{there}build it first: `editloop run RECIPE --only build`",
        )
    return paths


def read_samples(data: Path, split: str) -> Iterator[EditSample]:
    """Stream a published split in its fixed order; CorruptError where a page's checksum fails."""
    for path in published_files(Path(data), split):
        yield from map(from_row, read_rows(path, what="a data set"))


def verify(run: Path, *, files: Files | None = None) -> list[Problem]:
    """Everything in a run folder that is not as it was committed or published; empty if whole.

    Raises StoreError where there is no run.
    """
    files = files or Files()
    work = work_folder(Path(run))
    if not work.is_dir():
        raise StoreError("no run in this folder", value=run, fix="name the folder of a run")
    problems: list[Problem] = []
    for commits in sorted(work.rglob("commits")):
        if (commits.parent / "files").is_dir():
            problems += ShardStore(commits.parent, files).verify()
    for path in sorted((*work.glob("*/current.json"), *work.glob("*/parts.json"))):
        problems += _check_record(path)
    for path in sorted(work.glob("*/plan-*.jsonl")):
        if not path.stem.endswith(file_hash(files, path)[:16]):
            problems.append(Problem(path, "a plan differs from what was written"))
    for path in sorted((work / "manifests").glob("*.json")):
        problems += _check_record(path) or _check_manifest(Path(run), path, files)
    return problems


def _check_record(path: Path) -> list[Problem]:
    try:
        decode_record(path.read_bytes(), path)
    except StoreError as error:
        return [Problem(path, error.cause)]
    return []


def _check_manifest(run: Path, path: Path, files: Files) -> list[Problem]:
    manifest = Manifest(**decode_record(path.read_bytes(), path))
    problems = []
    for name, stored in manifest.files.items():
        if not (run / name).is_file():
            problems.append(Problem(run / name, "a published file is missing"))
        elif file_hash(files, run / name) != stored["sha256"]:
            problems.append(Problem(run / name, "a published file differs from its manifest"))
    return problems
