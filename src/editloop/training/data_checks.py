"""Checks of a data set before training: missing targets, the first samples, missing scores.

They run before anything is encoded. All other pictures are checked when they are read; the error
then names the sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from editloop.errors import StoreError, TrainingError
from editloop.images.masks import BY_CONTENT, MaskReading
from editloop.storage.manifests import find_manifest
from editloop.storage.records import fingerprint
from editloop.training.cache import off_scale, rewards_of
from editloop.training.rows import PublishedRows
from editloop.training.triples import decoded

__all__ = [
    "HELD_OUT",
    "JOINED",
    "check_data",
    "content_of",
    "has_split",
    "has_unrewarded",
    "held_out",
    "joint_content",
    "rows_of",
    "splits_of",
]

HELD_OUT = "heldout"
JOINED = "joined-"  # starts the fingerprint of several data sets
_FIRST = 3  # samples that are decoded, or listed in an error


def content_of(run: Path) -> str:
    """Return the fingerprint of a run's data set; raise StoreError if the run has none."""
    manifest = find_manifest(run, "data") if run.is_dir() else None
    if manifest is None or not manifest.in_place(run):
        around = [each.parent for each in (run, run.parent) if each.name == "data"]
        inside = [each for each in around if find_manifest(each, "data") is not None]
        fix = "set `data` to a run's folder; `editloop import KIND PATH --out DIR` makes one"
        raise StoreError(
            "no complete data set in this folder",
            value=run,
            fix=f"use the run's folder that contains it: {inside[0]}" if inside else fix,
        )
    return manifest.content


def joint_content(runs: Sequence[Path]) -> str:
    """Return the fingerprint of the data sets of runs; errors as in `content_of`."""
    contents = [content_of(run) for run in runs]
    return contents[0] if len(contents) == 1 else f"{JOINED}{fingerprint(contents)}"


def has_split(run: Path, split: str) -> bool:
    """Return whether a run's data set has samples in a split of this name."""
    there = next((run / "data").glob(f"{split}-*.parquet"), None)
    return there is not None and len(PublishedRows.of(run / "data", split)) > 0


def rows_of(runs: Sequence[Path], split: str) -> PublishedRows:
    """Return the rows of a split of all runs; raise StoreError if one lacks it."""
    return PublishedRows.joined([PublishedRows.of(run / "data", split) for run in runs])


def held_out(runs: Sequence[Path]) -> PublishedRows | None:
    """Return the held-out rows of the runs that have some, or None."""
    there = [run for run in runs if has_split(run, HELD_OUT)]
    return rows_of(there, HELD_OUT) if there else None


def splits_of(runs: Sequence[Path], split: str) -> dict[str, PublishedRows]:
    """Return the rows of a split of all runs, and the held-out ones if there are any, by name."""
    tested = held_out(runs)
    return {split: rows_of(runs, split)} | ({} if tested is None else {HELD_OUT: tested})


def check_data(
    runs: Sequence[Path],
    split: str,
    *,
    rewarded: bool = False,
    wholly_rewarded: bool = False,
    reading: MaskReading = BY_CONTENT,
) -> PublishedRows:
    """Return the rows of a split of all runs after checking that they can be trained on.

    The held-out split is checked too. `rewarded` requires some score in the split,
    `wholly_rewarded` all scores of every sample; `reading` reads masks. Raises StoreError for a
    missing split or column, CorruptError for a file that cannot be read, and TrainingError if
    samples lack targets or required scores, or if the pictures of one of the first samples differ
    in size.
    """
    splits = splits_of(runs, split)
    rows = splits[split]
    for name, each in splits.items():
        _check_targets(name, each)
        for sample in each.stream(0, _FIRST):
            decoded(sample, reading)
    if rewarded and not any(any(known) for known in _known(rows)):
        if any(off_scale(each) for each in rows.stream(0, len(rows), pictures=False)):
            raise TrainingError(
                "all reward scores of the training data lie outside of 0 to 5",
                value=split,
                fix="declare their scale: `editloop import ... --scale LOW,HIGH`, or the judge's "
                "`scale`",
            )
        raise TrainingError(
            "the training data has no reward scores",
            value=split,
            fix="judge it first (`editloop judge`), or leave `reward` out of `conditions`",
        )
    if wholly_rewarded and not all(all(known) for known in _known(rows)):
        raise TrainingError(
            "the released reward condition cannot handle missing scores",
            value="samples without scores in all perspectives",
            fix="train on samples with all scores, or set another variant",
        )
    return rows


def has_unrewarded(rows: PublishedRows) -> bool:
    """Return whether a sample has no reward score at all."""
    return not all(any(known) for known in _known(rows))


def _check_targets(split: str, rows: PublishedRows) -> None:
    if ids := list(rows.without("target")):
        more = f" and {len(ids) - _FIRST} more" if len(ids) > _FIRST else ""
        raise TrainingError(
            "samples without a target cannot be trained on",
            value=f"{len(ids)} of {len(rows)} in {split}: {', '.join(ids[:_FIRST])}{more}",
            fix="build or import the data without them",
        )


def _known(rows: PublishedRows) -> Iterator[list[float]]:
    """Yield for each sample 1 for every known score, in the order of PERSPECTIVES."""
    return (rewards_of(each)[1] for each in rows.stream(0, len(rows), pictures=False))
