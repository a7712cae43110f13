"""Edit, verify, try again, keep the best: right against the truth, also after kills."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest

import attempts_world
from attempts_world import answer, made_of, make, names, painted
from editloop.chat.fake.server import FakeServer
from editloop.errors import StoreError
from editloop.generation.preferences import export_preferences
from editloop.images.codec import decode
from editloop.schema import Score
from editloop.storage.samples import read_attempts, read_samples
from editloop.storage.verify import verify
from kernel_faults import published

TRUTH = {name: made_of(name) for name in names()}
REASONS = {
    "refused": "refused",
    "unchanged": "unchanged",
    "shifted": "shifted: ",
    "wrong": "judged wrong: as seen",
    "right": "not among the best: outcome is 2",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """The run folder of a build that nobody interrupted, and the number of questions asked."""
    out = tmp_path_factory.mktemp("attempts") / "whole"
    with FakeServer(answer) as server:
        report = make(out, server.base_url)
        asked = server.seen.requests
        make(out, server.base_url)
        assert server.seen.requests == asked
    kept = sum(made.kept is not None for made in TRUTH.values())
    assert report.counts["inputs"] == {
        "output": kept, "dropped": len(TRUTH) - kept, "quarantined": 0,
    }  # fmt: skip
    return out, asked


def test_the_world_has_every_fault_and_samples_that_are_never_right() -> None:
    faults = [fault for made in TRUTH.values() for *_, fault in made.candidates]
    assert {*faults} == {*REASONS}
    assert 0 < sum(made.kept is None for made in TRUTH.values()) < len(TRUTH)
    assert any(len(made.candidates) > 2 and made.kept for made in TRUTH.values())


def test_the_kept_set_is_the_true_one(whole: tuple[Path, int]) -> None:
    kept = {each.id: each for each in read_samples(whole[0] / "data", "train")}
    assert {*kept} == {made.kept for made in TRUTH.values()} - {None}
    for name, made in TRUTH.items():
        if made.kept is not None:
            sample = kept[made.kept]
            assert sample.parent_id == name
            assert sample.target is not None
            right = painted(decode(sample.source_image.bytes), 0)
            assert np.array_equal(decode(sample.target.bytes), right)
            assert isinstance(score := sample.scores["outcome"], Score)
            assert score.value == 2
    assert verify(whole[0]) == []


def test_every_candidate_is_an_attempt_with_its_parent_outcome_and_reason(
    whole: tuple[Path, int],
) -> None:
    rows = list(read_attempts(whole[0] / "data", "train"))
    found = {each.sample.id: each for each in rows}
    assert len(found) == len(rows)
    assert {name: (each.number, each.outcome, each.chosen) for name, each in found.items()} == {
        name: row for made in TRUTH.values() for name, row in made.attempts.items()
    }
    for parent, made in TRUTH.items():
        for name, _, fault in made.candidates:
            attempt = found[name]
            assert attempt.sample.parent_id == parent
            assert (attempt.sample.target is None) == (fault == "refused")
            if name != made.kept:
                assert (attempt.reason or "").startswith(REASONS[fault])


def test_the_judge_sees_only_what_passed_the_gates_and_each_picture_once(
    whole: tuple[Path, int],
) -> None:
    pictures = {
        (name, fault)
        for name, made in TRUTH.items()
        for *_, fault in made.candidates
        if fault in ("right", "wrong")
    }
    assert whole[1] == len(pictures)


def test_pairs_of_chosen_and_rejected_candidates(whole: tuple[Path, int], tmp_path: Path) -> None:
    counts = export_preferences(whole[0], tmp_path / "pairs")
    rejected = [
        (made.kept, name, fault)
        for made in TRUTH.values()
        for name, _, fault in made.candidates
        if name != made.kept
    ]
    pairs = {(kept, name): fault for kept, name, fault in rejected if kept and fault != "refused"}
    assert counts == {
        "pairs": len(pairs),
        "without_picture": sum(fault == "refused" for *_, fault in rejected),
        "without_chosen": sum(not kept and fault != "refused" for kept, _, fault in rejected),
    }
    again = export_preferences(whole[0], tmp_path / "pairs")
    assert again == counts
    data = datasets.load_dataset(
        "parquet",
        data_files=str(tmp_path / "pairs" / "data" / "train-*.parquet"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    assert {(row["chosen_id"], row["rejected_id"]) for row in data} == {*pairs}
    for row in data:
        fault = pairs[row["chosen_id"], row["rejected_id"]]
        assert row["reason"].startswith(REASONS[fault])
        assert np.array_equal(np.asarray(row["chosen"]), painted(np.asarray(row["source"]), 0))
        if fault != "right":
            assert not np.array_equal(np.asarray(row["chosen"]), np.asarray(row["rejected"]))
    with pytest.raises(StoreError, match="holds other data"):
        export_preferences(whole[0], whole[0])
    with pytest.raises(StoreError, match="no published data"):
        export_preferences(tmp_path, tmp_path / "pairs")


@pytest.mark.slow
def test_ten_kills_change_nothing_and_nothing_is_paid_twice(
    whole: tuple[Path, int], tmp_path: Path
) -> None:
    out, asked = tmp_path / "out", whole[1]
    with FakeServer(answer) as server:
        command = [sys.executable, attempts_world.__file__, out, server.base_url, "10"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) >= 5
        make(out, server.base_url)
        assert server.seen.requests == asked
    assert published(out) == published(whole[0])
    assert verify(out) == []
