"""Publishing: whole folders and files put in place at once, with a manifest of their hashes.

A manifest is written last, so its existence means that what it names is whole; it is removed
before anything it names is touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from editloop.errors import StoreError
from editloop.schema import Json
from editloop.storage.files import (
    Files,
    check_plain,
    explained,
    file_hash,
    replace_file,
    sweep_temporaries,
)
from editloop.storage.records import fingerprint, read_record, write_record
from editloop.storage.versions import part_folder, work_folder

__all__ = [
    "Manifest",
    "check_own",
    "find_manifest",
    "publish_folder",
    "record_manifest",
    "staging_folder",
    "withdraw",
    "write_file",
]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was published under a name: paths in the run folder with hash and size.

    `fingerprint` says what it was made from; `facts` is whatever its maker wants to find again.
    """

    name: str
    files: Mapping[str, Mapping[str, Json]]
    fingerprint: str = ""
    facts: Mapping[str, Json] = field(default_factory=dict)

    @property
    def content(self) -> str:
        """A fingerprint of the published bytes."""
        return fingerprint({path: stored["sha256"] for path, stored in self.files.items()})

    def in_place(self, run: Path) -> bool:
        """Whether every file is there in its size; the hashes are for `verify`."""
        return all(_size(run / path) == stored["bytes"] for path, stored in self.files.items())


def publish_folder(
    run: Path,
    name: str,
    staged: Path,
    *,
    made_from: str = "",
    facts: Mapping[str, Json] | None = None,
    files: Files | None = None,
) -> Manifest:
    """Put a finished folder in the place `run/name`, over an older one, and write its manifest.

    `staged` comes from `staging_folder`, and is gone afterwards.
    """
    files = files or Files()
    target = run / name
    with explained("publish a folder", target):
        _sync_tree(files, staged)
        _remove_manifest(files, run, name)
        files.make_folder(target.parent)
        old = _staging(run, f"{name}.old")
        if old.exists():
            files.remove_folder(old)
        if target.exists():
            files.rename(target, old)
        files.rename(staged, target)
        files.sync_path(target.parent)
        if old.exists():
            files.remove_folder(old)
    paths = sorted(path for path in target.rglob("*") if path.is_file())
    return record_manifest(run, name, paths, made_from=made_from, facts=facts, files=files)


def record_manifest(
    run: Path,
    name: str,
    paths: Sequence[Path],
    *,
    made_from: str = "",
    facts: Mapping[str, Json] | None = None,
    files: Files | None = None,
) -> Manifest:
    """State that the files at `paths`, all inside `run`, are whole as they are now."""
    files = files or Files()
    with explained("record a manifest", run):
        stored = {path.relative_to(run).as_posix(): _stored(files, path) for path in paths}
        sweep_temporaries(files, _place(run, name).parent)
    manifest = Manifest(name, stored, made_from, dict(facts or {}))
    write_record(files, _place(run, name), asdict(manifest))
    return manifest


def find_manifest(run: Path, name: str, *, files: Files | None = None) -> Manifest | None:
    """The manifest of what was published under a name, or None; CorruptError if it is damaged."""
    body = read_record(files or Files(), _place(run, name))
    return None if body is None else Manifest(**body)


def check_own(run: Path, part: str | None, names: Sequence[str]) -> None:
    """Raise StoreError where publishing would replace what no run made, such as a user's own data.

    `names` are what a part publishes (None: any run): it claims the folder first, and leaves
    manifests.
    """
    work = work_folder(run) if part is None else part_folder(run, part) / "current.json"
    if work.exists():
        return
    for name in names:
        if (run / name).exists() and find_manifest(run, name) is None:
            raise StoreError(
                "this is no run's, and would be replaced",
                value=run / name,
                fix="name another folder for the run, or move it away",
            )


def withdraw(run: Path, name: str, *, files: Files | None = None) -> None:
    """Remove a manifest: what it named is no longer claimed to be whole."""
    with explained("remove a manifest", run):
        _remove_manifest(files or Files(), run, name)


def write_file(run: Path, path: Path, data: bytes, *, files: Files | None = None) -> None:
    """Write a file at once and durably, and its manifest under its own path in the run folder."""
    files = files or Files()
    name = path.relative_to(run).as_posix()
    withdraw(run, name, files=files)
    with explained("write a file", path):
        replace_file(files, path, data)
    record_manifest(run, name, [path], files=files)


def staging_folder(run: Path, name: str, *, files: Files | None = None) -> Path:
    """A new empty folder on the run folder's disk, to make what `publish_folder` publishes."""
    files = files or Files()
    folder = _staging(run, name)
    with explained("make a folder", folder):
        if folder.exists():
            files.remove_folder(folder)  # an interrupted attempt's
        files.make_folder(folder)
    return folder


def _staging(run: Path, name: str) -> Path:
    return work_folder(run) / "staging" / _flat(name)


def _place(run: Path, name: str) -> Path:
    return work_folder(run) / "manifests" / f"{_flat(name)}.json"


def _flat(name: str) -> str:
    for part in name.split("/"):
        check_plain(part, "a publication")
    return name.replace("/", "@")


def _remove_manifest(files: Files, run: Path, name: str) -> None:
    place = _place(run, name)
    if place.exists():
        files.remove(place)
        files.sync_path(place.parent)


def _sync_tree(files: Files, folder: Path) -> None:
    for path in (*sorted(folder.rglob("*")), folder):
        files.sync_path(path)


def _stored(files: Files, path: Path) -> dict[str, Json]:
    return {"sha256": file_hash(files, path), "bytes": path.stat().st_size}


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
