"""Retrying: rows that failed in a class run again; the result is as if they never failed."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from editloop.errors import FailureClass, RecipeError, StoreError
from editloop.kernel.build import Options, build, retry
from editloop.kernel.tasks import StepSpec
from editloop.storage.verify import verify
from kernel_faults import published
from kernel_parts import source, step

HERE = Options(workers=0)
ITEMS = [source(count={"train": 9, "heldout": 2})]


def steps(folder: Path, on: dict[str, str] | None = None) -> list[StepSpec]:
    """A build of two segments; a step of the first fails on some rows while a service is down."""
    trouble = {"3": "flaky", "6/1": "flaky", "5": "raise"} if on is None else on
    return [
        step(drops=0, fails=0),
        step("TroubleStep", on=trouble, folder=str(folder)),
        step("NetworkStep", label="n"),
    ]


def quarantine(out: Path) -> dict[str, tuple[str, int]]:
    table = pq.read_table(out / "rejects" / "quarantined.parquet")
    return {
        row["id"]: (row["class"], row["attempts"])
        for row in table.to_pylist()
        if row["step"] == "TroubleStep"
    }


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    return folder


def test_a_retry_ends_as_if_all_had_passed_at_first(tmp_path: Path, outside: Path) -> None:
    out = tmp_path / "retried"
    build(ITEMS, steps(outside), out=out, shard_size=4, options=HERE)
    assert [cause for cause, _ in quarantine(out).values()].count("transient") == 2
    (outside / "up").touch()
    assert retry(out, options=HERE) == (2, 2)
    build(ITEMS, steps(outside), out=tmp_path / "fresh", shard_size=4, options=HERE)
    assert published(out) == published(tmp_path / "fresh")
    assert verify(out) == []


def test_only_shards_with_such_failures_run(tmp_path: Path, outside: Path) -> None:
    out = tmp_path / "out"
    build(ITEMS, steps(outside, {"train/0003": "flaky"}), out=out, shard_size=4, options=HERE)
    (outside / "up").touch()
    retry(out, options=HERE)
    newer = sorted(path.name[:17] for path in out.rglob("*@1.json"))
    assert newer == ["list-train-00000@", "list-train-00000@"]  # one shard in both segments


def test_what_fails_again_counts_its_attempts(tmp_path: Path, outside: Path) -> None:
    out = tmp_path / "out"
    build(ITEMS, steps(outside), out=out, shard_size=4, options=HERE)
    assert retry(out, "transient", HERE) == (2, 0)
    assert quarantine(out) == {
        "train/0003": ("transient", 2),
        "train/0005": ("bug", 1),
        "train/0006/1": ("transient", 2),
    }


def test_another_class_can_be_retried(tmp_path: Path, outside: Path) -> None:
    out = tmp_path / "out"
    build(ITEMS, steps(outside), out=out, shard_size=4, options=HERE)
    assert retry(out, FailureClass.BUG, HERE) == (1, 0)
    assert quarantine(out)["train/0005"] == ("bug", 2)


def test_nothing_to_retry_changes_nothing(tmp_path: Path, outside: Path) -> None:
    out = tmp_path / "out"
    build(ITEMS, steps(outside, {}), out=out, shard_size=4, options=HERE)
    before = published(out)
    assert retry(out, options=HERE) == (0, 0)
    assert published(out) == before


def test_a_build_after_a_retry_has_nothing_to_do(tmp_path: Path, outside: Path) -> None:
    out = tmp_path / "out"
    build(ITEMS, steps(outside), out=out, shard_size=4, options=HERE)
    (outside / "up").touch()
    retry(out, options=HERE)
    before = published(out)
    again = build(ITEMS, steps(outside), out=out, shard_size=4, options=HERE)
    assert again.timings["shards"] == 0
    assert published(out) == before


def test_a_retry_that_was_interrupted_is_finished_by_the_next_build(
    tmp_path: Path, outside: Path
) -> None:
    out = tmp_path / "out"
    build(ITEMS, steps(outside), out=out, shard_size=4, options=HERE)
    (outside / "up").touch()

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retry(out, options=Options(workers=0, progress=stop))  # after the first segment's commit
    build(ITEMS, steps(outside), out=out, shard_size=4, options=HERE)
    retry(out, options=HERE)
    build(ITEMS, steps(outside), out=tmp_path / "fresh", shard_size=4, options=HERE)
    assert published(out) == published(tmp_path / "fresh")


def test_an_unknown_class_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="known classes: transient, permanent, policy, bug"):
        retry(tmp_path, "transitory")


def test_a_folder_without_a_build_has_nothing_to_retry(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no build to retry"):
        retry(tmp_path)
