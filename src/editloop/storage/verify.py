"""Verification of a run folder: every file against its commit record or manifest."""

from __future__ import annotations

from pathlib import Path

from editloop.errors import StoreError
from editloop.storage.files import Files, file_hash
from editloop.storage.manifests import Manifest
from editloop.storage.records import decode_record
from editloop.storage.shards import Problem, ShardStore
from editloop.storage.versions import work_folder

__all__ = ["verify"]


def verify(run: Path, *, files: Files | None = None) -> list[Problem]:
    """Return every file in a run folder that differs from its committed or published state.

    Raises StoreError if the folder contains no run.
    """
    files = files or Files()
    work = work_folder(Path(run))
    if not work.is_dir():
        raise StoreError("no run in this folder", value=run, fix="give the folder of a run")
    problems: list[Problem] = []
    for commits in sorted(work.rglob("commits")):
        if (commits.parent / "files").is_dir():
            problems += ShardStore(commits.parent, files).verify()
    for path in sorted((*work.glob("*/current.json"), *work.glob("*/parts.json"))):
        problems += _check_record(path)
    for path in sorted(work.glob("*/plan-*.jsonl")):
        if not path.stem.endswith(file_hash(files, path)[:16]):
            problems.append(Problem(path, "a plan file is damaged or was changed"))
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
