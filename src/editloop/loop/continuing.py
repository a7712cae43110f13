"""Unfinished work that goes on although some settings have changed, such as a lower rate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from editloop.loop.parts import Continuing, LoopPart
from editloop.schema import Json
from editloop.storage.manifests import find_manifest
from editloop.storage.records import fingerprint
from editloop.storage.versions import current_version, has_work

__all__ = ["goes_on"]


def goes_on(
    out: Path, key: str, published: str, part: LoopPart, settings: Mapping[str, Json]
) -> bool:
    """Return whether a part's unfinished work goes on with settings that have changed.

    `key` is the part's name in the run folder `out`, `published` the place of its result.
    """
    current = current_version(out, key)
    if current is None or not isinstance(part, Continuing):
        return False
    if {**current, "parameters": None} != {**settings, "parameters": None}:
        return False
    found = find_manifest(out, published)
    finished = found is not None and found.fingerprint == fingerprint(current)
    if finished or not has_work(out, key, (current, settings)):
        return False
    return part.continues(current["parameters"])
