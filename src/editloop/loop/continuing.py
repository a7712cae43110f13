"""Work that goes on although some settings have changed: a lower rate, or more steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from editloop.errors import StoreError
from editloop.loop.parts import Continuing, Extending, LoopPart
from editloop.schema import Json
from editloop.storage.manifests import find_manifest
from editloop.storage.records import fingerprint
from editloop.storage.versions import (
    continue_version,
    current_version,
    has_work,
    part_folder,
    release_input,
)

__all__ = ["go_on", "goes_on"]


def goes_on(
    out: Path, key: str, published: str, part: LoopPart, settings: Mapping[str, Json]
) -> bool:
    """Return whether a part's work goes on with settings that have changed.

    `key` is the part's name in the run folder `out`, `published` the place of its result. Raises
    StoreError if finished work would go on, but was removed.
    """
    current = current_version(out, key)
    if current is None or not isinstance(part, Continuing):
        return False
    if {**current, "parameters": None} != {**settings, "parameters": None}:
        return False
    before, there = current["parameters"], has_work(out, key, (current, settings))
    if not _is_finished(out, key, published):
        return there and part.continues(before)
    if not isinstance(part, Extending) or not part.extends(before):
        return False
    if not there:
        raise StoreError(
            "the checkpoint that this training would go on from was removed",
            value=part_folder(out, key),
            fix="train anew with --new-version, or in another folder",
        )
    return True


def go_on(
    out: Path, key: str, published: str, settings: Mapping[str, Json], readers: Iterable[str]
) -> None:
    """Let a part's work go on with settings that have changed.

    The parts `readers`, which may have read its finished result, may then read another one.
    """
    if _is_finished(out, key, published):
        for each in readers:
            release_input(out, each, published)
    continue_version(out, key, settings)


def _is_finished(out: Path, key: str, published: str) -> bool:
    """Return whether the result of a part's current version is published."""
    found = find_manifest(out, published)
    return found is not None and found.fingerprint == fingerprint(current_version(out, key))
