"""Preference pairs from a run's attempts: the candidate that was kept, and one that was rejected.

    OUT/data/SPLIT-00000-of-0000N.parquet

Both are of the same source, mask and instruction. A row names the outcome of the rejected one and
the reason; `datasets` reads its pictures.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import pyarrow as pa

from editloop.errors import StoreError
from editloop.schema import Attempt, EditSample, Image, Json
from editloop.storage.files import Files, explained
from editloop.storage.locks import lock
from editloop.storage.manifests import find_manifest, publish_folder, staging_folder
from editloop.storage.parquet import SplitWriter, open_parquet, read_rows
from editloop.storage.samples import (
    IMAGE,
    featured_schema,
    from_row,
    published_files,
    read_attempts,
    split_names,
)

__all__ = ["export_preferences"]

_MADE = "preferences-1"  # marks what this call has published
_ROWS = 16  # pairs that are written together
_PAIR = {
    "instruction": pa.string(),
    "source": IMAGE,
    "chosen": IMAGE,
    "rejected": IMAGE,
    "mask": IMAGE,
    "edit_type": pa.string(),
    "chosen_id": pa.string(),
    "rejected_id": pa.string(),
    "outcome": pa.string(),
    "reason": pa.string(),
    "licence": pa.string(),
}


def export_preferences(run: str | Path, out: str | Path) -> dict[str, int]:
    """Write pairs of a chosen and a rejected candidate of the run folder `run` to `out`.

    The chosen candidates are the run's samples, the rejected ones its other attempts. Returns the
    number of `pairs`, of rejected attempts `without_picture`, and of those `without_chosen`: with
    no sample of the same source, mask and instruction. Raises StoreError if the run has no data, or
    if `out` holds other data.
    """
    data, place = Path(run) / "data", Path(out)
    splits = split_names(data)
    if not splits:
        raise StoreError("there is no published data", value=data, fix="build it first")
    _check_free(place)
    with explained("make a folder", place):
        place.mkdir(parents=True, exist_ok=True)
    with lock(place):
        counts = {"pairs": 0, "without_picture": 0, "without_chosen": 0}
        folder = staging_folder(place, "data")
        for split in splits:
            with ExitStack() as opened:
                _write(data, split, folder, counts, opened)
        publish_folder(place, "data", folder, made_from=_MADE, facts=counts)
    return counts


def _check_free(out: Path) -> None:
    found = find_manifest(out, "data") if out.is_dir() else None
    ours = found is not None and found.fingerprint == _MADE
    if (out / "data").exists() and not ours:
        raise StoreError(
            "this folder holds other data, which would be replaced",
            value=out / "data",
            fix="choose another folder for the pairs",
        )


def _write(data: Path, split: str, folder: Path, counts: dict[str, int], opened: ExitStack) -> None:
    """Write the pairs of a split, and add to the counts."""
    chosen = _Chosen(published_files(data, split), opened)
    schema = featured_schema(_PAIR)
    writer = SplitWriter(Files(), folder, split, schema)
    opened.callback(writer.close)
    rows: list[dict[str, Json]] = []
    for attempt in read_attempts(data, split):
        if attempt.chosen or attempt.sample.id in chosen.ids:
            continue
        if attempt.sample.target is None:
            counts["without_picture"] += 1
            continue
        found = [_pair(sample, attempt) for sample in chosen.of(attempt.sample)]
        counts["pairs" if found else "without_chosen"] += len(found) or 1
        rows += found
        if len(rows) >= _ROWS:
            writer.add(pa.Table.from_pylist(rows, schema))
            rows = []
    writer.add(pa.Table.from_pylist(rows, schema))
    writer.finish()


class _Chosen:
    """A split's samples by source, mask and instruction; pictures are read where they are used."""

    def __init__(self, paths: Sequence[Path], opened: ExitStack) -> None:
        self._files = [open_parquet(opened.enter_context(path.open("rb"))) for path in paths]
        self._groups = [
            (file, group) for file in self._files for group in range(file.num_row_groups)
        ]
        sizes = (file.metadata.row_group(group).num_rows for file, group in self._groups)
        self._starts = list(accumulate(sizes, initial=0))
        self._rows: dict[bytes, list[int]] = {}
        self.ids: set[str] = set()
        for at, row in enumerate(_light_rows(paths)):
            self.ids.add(row["id"])
            self._rows.setdefault(_key_of_row(row), []).append(at)
        self._table = lru_cache(maxsize=2)(self._read)

    def of(self, sample: EditSample) -> Iterator[EditSample]:
        """Yield the samples with the source, mask and instruction of another one."""
        for at in self._rows.get(_key(sample.source, sample.mask, sample.instruction), ()):
            group = bisect_right(self._starts, at) - 1
            (row,) = self._table(group).slice(at - self._starts[group], 1).to_pylist()
            yield from_row(row)

    def _read(self, group: int) -> pa.Table:
        file, number = self._groups[group]
        return file.read_row_group(number, use_threads=False)


def _light_rows(paths: Sequence[Path]) -> Iterator[Mapping[str, Json]]:
    for path in paths:
        yield from read_rows(path, ["id", "source", "mask", "instruction"], what="a data set")


def _key_of_row(row: Mapping[str, Json]) -> bytes:
    pictures = [None if row[name] is None else Image(**row[name]) for name in ("source", "mask")]
    return _key(pictures[0], pictures[1], row["instruction"])


def _key(source: Image | None, mask: Image | None, instruction: str) -> bytes:
    digest = hashlib.sha256(instruction.encode())
    for picture in (source, mask):
        digest.update(b"" if picture is None else hashlib.sha256(picture.bytes).digest())
        digest.update(b"/")
    return digest.digest()[:16]


def _pair(chosen: EditSample, rejected: Attempt) -> dict[str, Json]:
    made = chosen.provenance
    return {
        "instruction": chosen.instruction,
        "source": _image(chosen.source),
        "chosen": _image(chosen.target),
        "rejected": _image(rejected.sample.target),
        "mask": _image(chosen.mask),
        "edit_type": None if chosen.edit_type is None else chosen.edit_type.value,
        "chosen_id": chosen.id,
        "rejected_id": rejected.sample.id,
        "outcome": rejected.outcome.value,
        "reason": rejected.reason,
        "licence": None if made is None else made.licence,
    }


def _image(picture: Image | None) -> dict[str, Json] | None:
    return None if picture is None else {"bytes": picture.bytes, "path": picture.path}
