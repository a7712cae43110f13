"""Versions of a run folder's parts: the settings each was made with, and changes to them.

A part (`build`, a training, a benchmark) claims its folder with the settings that can change its
result. Different settings later raise ChangedError with the differences, unless a new version is
requested. Work is stored in folders named by fingerprint, so unchanged work is reused.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from editloop.errors import ChangedError
from editloop.schema import Json, canonical_json
from editloop.storage.files import Files, explained, sweep_temporaries
from editloop.storage.records import fingerprint, read_record, write_record

__all__ = [
    "check_version",
    "claim_version",
    "continue_version",
    "current_version",
    "differences",
    "has_released",
    "has_work",
    "part_folder",
    "release_input",
    "retire_versions",
    "work_folder",
]

_SHOWN = 20
_ABSENT = "(absent)"


def work_folder(run: Path) -> Path:
    """Return the folder for a run's unpublished files."""
    return run / ".editloop"


def part_folder(run: Path, part: str) -> Path:
    """Return the folder of a part's versions and the record of the current one."""
    return work_folder(run) / part


def claim_version(
    run: Path,
    part: str,
    settings: Mapping[str, Json],
    *,
    new_version: bool = False,
    files: Files | None = None,
) -> Path:
    """Claim a part with these settings; returns the work folder for them, which may not exist.

    Unless `new_version`, raises ChangedError like `check_version`. The older version's work is
    kept until `retire_versions`.
    """
    files = files or Files()
    folder = part_folder(run, part)
    path = folder / "current.json"
    with explained("claim a part", folder):
        sweep_temporaries(files, folder)
    if not new_version:
        check_version(run, part, settings, files=files)
    settings = _as_read_back(settings)
    if read_record(files, path) != settings:
        write_record(files, path, settings)
    return folder / fingerprint(settings)


def current_version(run: Path, part: str, *, files: Files | None = None) -> dict[str, Json] | None:
    """Return the settings that a part was claimed with, or None."""
    found: dict[str, Json] | None = read_record(
        files or Files(), part_folder(run, part) / "current.json"
    )
    return found


def has_work(run: Path, part: str, settings: Iterable[Mapping[str, Json]]) -> bool:
    """Return whether there is a work folder for any of some settings."""
    folder = part_folder(run, part)
    return any((folder / fingerprint(each)).is_dir() for each in settings)


def continue_version(
    run: Path, part: str, settings: Mapping[str, Json], *, files: Files | None = None
) -> None:
    """Give a claimed part other settings and let them go on with its work.

    An interrupted call can be repeated: the record is written after the work has moved.
    """
    files = files or Files()
    folder, current = part_folder(run, part), current_version(run, part, files=files)
    old, new = folder / fingerprint(current), folder / fingerprint(_as_read_back(settings))
    with explained("continue a part", folder):
        if old.is_dir():
            if new.is_dir():
                files.remove_folder(new)
            files.rename(old, new)
            files.sync_path(folder)
    write_record(files, folder / "current.json", _as_read_back(settings))


def check_version(
    run: Path, part: str, settings: Mapping[str, Json], *, files: Files | None = None
) -> None:
    """Raise ChangedError with all differences if a part was claimed with other settings."""
    current = current_version(run, part, files=files)
    settings = _as_read_back(settings)
    if current is not None and "inputs" in current:
        new = settings.get("inputs", {})
        known = {
            name: new.get(name) if content is None else content
            for name, content in current["inputs"].items()
        }
        current = {**current, "inputs": known}
    if current is not None and current != settings:
        raise _changed(part, differences(current, settings))


def release_input(run: Path, part: str, name: str, *, files: Files | None = None) -> None:
    """Let a claimed part take another content of one of its inputs, which is being continued."""
    files = files or Files()
    current = current_version(run, part, files=files)
    if current is not None and name in current.get("inputs", {}):
        released = {**current, "inputs": {**current["inputs"], name: None}}
        write_record(files, part_folder(run, part) / "current.json", released)


def has_released(run: Path, part: str, *, files: Files | None = None) -> bool:
    """Return whether an input of a part was released since its result was made."""
    current = current_version(run, part, files=files) or {}
    return None in current.get("inputs", {}).values()


def retire_versions(
    run: Path, part: str, keep: Collection[str], *, files: Files | None = None
) -> None:
    """Remove the work of a part's other versions: every folder whose name is not in `keep`."""
    files = files or Files()
    folder = part_folder(run, part)
    with explained("remove an old version", folder):
        for name in files.names(folder):
            if name not in keep and (folder / name).is_dir():
                files.remove_folder(folder / name)


def differences(old: Json, new: Json, at: str = "") -> list[str]:
    """Return the differences of two JSON values, as lines `key.key: old -> new`."""
    if old == new:
        return []
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return [f"{at or 'settings'}: {_shown(old)} -> {_shown(new)}"]
    lines: list[str] = []
    for key in sorted({*old, *new}):
        place = f"{at}.{key}" if at else str(key)
        lines += differences(old.get(key, _ABSENT), new.get(key, _ABSENT), place)
    return lines


def _as_read_back(settings: Mapping[str, Json]) -> dict[str, Json]:
    """Return settings after a JSON round trip, which turns tuples into lists."""
    read: dict[str, Json] = json.loads(canonical_json(settings))
    return read


def _shown(value: Json) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _changed(part: str, lines: list[str]) -> ChangedError:
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    updated = any(line.startswith("version: ") for line in lines)
    back = "finish it with the EditLoop that began it" if updated else "go back to the old settings"
    return ChangedError(
        f"the settings or inputs of {part!r} changed since this folder was made",
        value="\n  ".join(["", *lines[:_SHOWN], *more]),
        fix=f"{back}, choose another folder, or make a new version with --new-version (unchanged "
        "work is reused)",
    )
