"""What a training refuses of a data set before anything is encoded: targets that are absent, its
first samples, its scores.

The pictures of samples further on are checked as they are read, and named.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from editloop.errors import StoreError, TrainingError
from editloop.storage.manifests import find_manifest
from editloop.training.cache import rewards_of
from editloop.training.rows import PublishedRows
from editloop.training.triples import decoded

__all__ = ["HELD_OUT", "check_data", "content_of", "has_split"]

HELD_OUT = "heldout"
_FIRST = 3  # samples that are looked at, or named


def content_of(run: Path) -> str:
    """The fingerprint of the data set that a run's folder holds; StoreError where it has none."""
    manifest = find_manifest(run, "data") if run.is_dir() else None
    if manifest is None or not manifest.in_place(run):
        around = [each.parent for each in (run, run.parent) if each.name == "data"]
        inside = [each for each in around if find_manifest(each, "data") is not None]
        fix = "name as `data` the folder of a run; `editloop import KIND PATH --out DIR` makes one"
        raise StoreError(
            "no whole data set in this folder",
            value=run,
            fix=f"name the run's folder that it lies in, {inside[0]}" if inside else fix,
        )
    return manifest.content


def has_split(run: Path, split: str) -> bool:
    """Whether a run's data set has samples in a split of this name."""
    there = next((run / "data").glob(f"{split}-*.parquet"), None)
    return there is not None and len(PublishedRows.of(run / "data", split)) > 0


def check_data(
    run: Path, split: str, *, rewarded: bool = False, wholly_rewarded: bool = False
) -> PublishedRows:
    """The rows of a split, unless they cannot be learned from; held-out ones are looked at too.

    Raises StoreError without the split or a column, CorruptError where a file cannot be read, and
    TrainingError where samples lack targets, where the pictures of one of the first differ in size,
    and where scores are absent that are asked for: `rewarded` is some, `wholly_rewarded` is all of
    every sample.
    """
    rows = PublishedRows.of(run / "data", split)
    splits = {split: rows}
    if has_split(run, HELD_OUT):
        splits[HELD_OUT] = PublishedRows.of(run / "data", HELD_OUT)
    for name, each in splits.items():
        _check_targets(name, each)
        for sample in each.stream(0, _FIRST):
            decoded(sample)
    if rewarded and not any(any(known) for known in _known(rows)):
        raise TrainingError(
            "the training data has no reward scores",
            value=split,
            fix="judge it first (`editloop judge`), or leave `reward` out of `conditions`",
        )
    if wholly_rewarded and not all(all(known) for known in _known(rows)):
        raise TrainingError(
            "the released reward condition knows no missing score",
            value="samples without scores in all perspectives",
            fix="train on samples with all scores, or use variant: paper",
        )
    return rows


def _check_targets(split: str, rows: PublishedRows) -> None:
    if ids := list(rows.without("target")):
        more = f" and {len(ids) - _FIRST} more" if len(ids) > _FIRST else ""
        raise TrainingError(
            "samples without a target cannot be trained on",
            value=f"{len(ids)} of {len(rows)} in {split}: {', '.join(ids[:_FIRST])}{more}",
            fix="build or import the data without them",
        )


def _known(rows: PublishedRows) -> Iterator[list[float]]:
    """Which scores each sample has, in the order of PERSPECTIVES."""
    return (rewards_of(each)[1] for each in rows.stream(0, len(rows), pictures=False))
