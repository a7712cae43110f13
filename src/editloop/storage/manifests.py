"""Publishing of folders and files: moved into place at once, with a manifest of their hashes.

A manifest is written last, so its existence means that its files are complete; it is removed before
any of its files is changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from editloop.errors import StoreError
from editloop.schema import Json
from editloop.storage.files import (
    Files,
    check_below,
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
    """The files published under a name: paths in the run folder with hash and size.

    `fingerprint` identifies the inputs; `facts` holds any data the publisher wants to store.
    """

    name: str
    files: Mapping[str, Mapping[str, Json]]
    fingerprint: str = ""
    facts: Mapping[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in self.files:
            check_below(path, "a published file")

    @property
    def content(self) -> str:
        """The fingerprint of the published bytes."""
        return fingerprint({path: stored["sha256"] for path, stored in self.files.items()})

    def in_place(self, run: Path) -> bool:
        """Return whether every file exists with the right size; `verify` checks the hashes."""
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
    """Move a finished folder to `run/name`, replacing an older one, and write its manifest.

    `staged` comes from `staging_folder` and no longer exists afterwards.
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
    """Write a manifest that declares the files at `paths`, all inside `run`, complete."""
    files = files or Files()
    with explained("record a manifest", run):
        stored = {path.relative_to(run).as_posix(): _stored(files, path) for path in paths}
        sweep_temporaries(files, _manifest_path(run, name).parent)
    manifest = Manifest(name, stored, made_from, dict(facts or {}))
    write_record(files, _manifest_path(run, name), asdict(manifest))
    return manifest


def find_manifest(run: Path, name: str, *, files: Files | None = None) -> Manifest | None:
    """Return the manifest published under a name, or None; raises CorruptError if damaged."""
    body = read_record(files or Files(), _manifest_path(run, name))
    return None if body is None else Manifest(**body)


def check_own(run: Path, part: str | None, names: Sequence[str]) -> None:
    """Raise StoreError if publishing would replace files that no run made, such as user data.

    `names` is what `part` publishes (None: any run). Files are a run's own if the part has claimed
    the folder or if they have manifests.
    """
    work = work_folder(run) if part is None else part_folder(run, part) / "current.json"
    if work.exists():
        return
    for name in names:
        if (run / name).exists() and find_manifest(run, name) is None:
            raise StoreError(
                "this was not made by a run and would be replaced",
                value=run / name,
                fix="choose another folder for the run, or move it away",
            )


def withdraw(run: Path, name: str, *, files: Files | None = None) -> None:
    """Remove a manifest, so its files no longer count as complete."""
    with explained("remove a manifest", run):
        _remove_manifest(files or Files(), run, name)


def write_file(run: Path, path: Path, data: bytes, *, files: Files | None = None) -> None:
    """Write a file atomically and durably, with a manifest named by its path in the run folder."""
    files = files or Files()
    name = path.relative_to(run).as_posix()
    withdraw(run, name, files=files)
    with explained("write a file", path):
        replace_file(files, path, data)
    record_manifest(run, name, [path], files=files)


def staging_folder(run: Path, name: str, *, files: Files | None = None) -> Path:
    """Create an empty folder on the run folder's disk for `publish_folder`."""
    files = files or Files()
    folder = _staging(run, name)
    with explained("make a folder", folder):
        if folder.exists():
            files.remove_folder(folder)  # left by an interrupted attempt
        files.make_folder(folder)
    return folder


def _staging(run: Path, name: str) -> Path:
    return work_folder(run) / "staging" / _flat(name)


def _manifest_path(run: Path, name: str) -> Path:
    return work_folder(run) / "manifests" / f"{_flat(name)}.json"


def _flat(name: str) -> str:
    for part in name.split("/"):
        check_plain(part, "a publication")
    return name.replace("/", "@")


def _remove_manifest(files: Files, run: Path, name: str) -> None:
    place = _manifest_path(run, name)
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
