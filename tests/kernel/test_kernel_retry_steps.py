"""Tries: what passed passes by, the rest is tried again as it was, and everything is counted."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from editloop.kernel.build import BuildReport, Options, build, retry
from editloop.kernel.tasks import StepSpec
from editloop.schema import Attempt, EditSample
from editloop.storage.samples import read_attempts, read_samples
from editloop.storage.verify import verify
from kernel_faults import published
from kernel_parts import picture, source
from kernel_parts import step as part
from retry_parts import retry_steps

HERE = Options(workers=0)


def make(
    out: Path, steps: list[StepSpec], options: Options = HERE, ids: str = "abcd"
) -> BuildReport:
    return build([source(ids=list(ids))], steps, out=out, shard_size=3, options=options)


def samples(out: Path) -> dict[str, EditSample]:
    return {each.id: each for each in read_samples(out / "data", "train")}


def attempts(out: Path) -> list[Attempt]:
    return list(read_attempts(out / "data", "train"))


def logged(path: Path) -> list[list[object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_passed_passes_by_and_the_rest_is_tried_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    step = {"kind": "TryStep", "passes": {"b": 2, "c": 3, "d": 9}, "log": str(log)}
    report = make(tmp_path / "out", retry_steps(2, step))
    assert sorted(samples(tmp_path / "out")) == ["a/try-1", "b/try-2", "c/try-3"]
    assert {each.parent_id for each in samples(tmp_path / "out").values()} == {*"abc"}
    lines = logged(log)
    assert [line for line in lines if line == ["setup"]] == [["setup"]]  # once for all tries
    tried = sorted(line[0] for line in lines if len(line) > 1)
    assert tried == [f"{name}/try-{at}" for name, last in zip("abcd", (1, 2, 3, 3), strict=True)
                     for at in range(1, last + 1)]  # fmt: skip
    assert [line[1] for line in lines if line[0] == "d/try-3"] == [
        [{"instruction": "", "reasons": ["not yet"]}] * 2
    ]
    assert report.counts["inputs"] == {"output": 3, "dropped": 1, "quarantined": 0}
    assert report.counts["by_step"]["dropped"] == {"again.3.end": {"not yet": 1}}
    found = [
        (each.sample.id, each.sample.parent_id, each.number) for each in attempts(tmp_path / "out")
    ]
    assert sorted(found) == [
        ("b/try-1", "b", 1), ("c/try-1", "c", 1), ("c/try-2", "c", 2),
        ("d/try-1", "d", 1), ("d/try-2", "d", 2), ("d/try-3", "d", 3),
    ]  # fmt: skip
    assert verify(tmp_path / "out") == []


def test_a_try_begins_with_the_sample_as_it_was(tmp_path: Path) -> None:
    log = tmp_path / "log"
    good = {"kind": "LastStep", "good": 3}
    steps = retry_steps(2, {"kind": "TryStep", "log": str(log)}, {"kind": "SpoilStep"}, good)
    make(tmp_path / "out", steps, ids="a")
    assert logged(log)[1:] == [
        ["a/try-1", None, "a.png", True],
        ["a/try-2", [{"instruction": "", "reasons": ["not one of 1"]}], "a.png", True],
        ["a/try-3", [{"instruction": "", "reasons": ["not one of 1"]}] * 2, "a.png", True],
    ]
    (kept,) = samples(tmp_path / "out").values()
    assert (kept.source, kept.target) == (picture("cropped a/try-3", 64), picture("a/try-3", 64))
    assert kept.provenance is not None
    assert (kept.provenance.generator, dict(kept.provenance.parameters)) == ("spoiler", {})


def test_no_trace_of_the_tries_is_published(tmp_path: Path) -> None:
    step = {"kind": "TryStep", "passes": {"b": 2}}
    asking = part("MarkStep", word="paint it")
    make(tmp_path, [asking, *retry_steps(1, {"kind": "ReviseStep"}, step)], ids="ab")
    found = samples(tmp_path)
    assert found["a/try-1"].provenance is not None
    assert {*found["a/try-1"].provenance.parameters} == {"size"}  # the source's own
    revised = found["b/try-2"]
    assert revised.provenance is not None
    assert revised.instruction == "paint it red"
    assert {*revised.provenance.parameters} == {"size", "instruction_before"}
    (rejected,) = attempts(tmp_path)
    assert rejected.sample.provenance is not None
    assert rejected.sample.instruction == "paint it"
    assert {*rejected.sample.provenance.parameters} == {"size"}


def test_steps_of_groups_and_several_candidates_are_tried_together(tmp_path: Path) -> None:
    steps = retry_steps(2, {"kind": "CandidatesStep"}, {"kind": "LastStep", "good": 2})
    report = make(tmp_path, steps, ids="ab")
    found = samples(tmp_path)
    assert sorted(found) == ["a/try-2/3", "b/try-2/3"]
    assert [each.parent_id for each in found.values()] == ["a", "b"]
    numbers = [each.provenance.parameters["attempt"] for each in found.values() if each.provenance]
    assert numbers == [6, 6]  # of three in the first try, and three in the second
    rejected = [(each.sample.id, each.number) for each in attempts(tmp_path)]
    assert rejected == [("a/try-1/1", 1), ("b/try-1/1", 1)]
    assert report.counts["by_step"]["dropped"] == {
        "again.1.end": {"not one of 2": 2}, "again.2.end": {"not one of 3": 4},
    }  # fmt: skip
    assert report.counts["inputs"]["output"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("good", [1, 2, 9])
def test_a_failure_in_a_try_is_retried_and_the_tries_go_on(tmp_path: Path, good: int) -> None:
    """Whether the sample passes then, or goes on to the next tries."""

    def steps() -> list[StepSpec]:
        flaky = {"kind": "FlakyStep", "folder": str(tmp_path), "on": "b"}
        step = {"kind": "TryStep", "passes": {"b": good, "c": 2}}
        return retry_steps(1, flaky, step)

    out, fresh = tmp_path / "out", tmp_path / "fresh"
    assert make(out, steps()).counts["quarantined"] == 1
    (tmp_path / "up").touch()
    assert retry(out, options=HERE) == (1, 1)
    make(fresh, steps())
    assert published(out) == published(fresh)


@pytest.mark.slow
def test_workers_do_not_change_a_byte(tmp_path: Path) -> None:
    def steps() -> list[StepSpec]:
        step = {"kind": "TryStep", "passes": {"b": 2, "c": 3, "d": 9}}
        return retry_steps(2, {"kind": "SpoilStep"}, step)

    make(tmp_path / "here", steps())
    make(tmp_path / "there", steps(), Options(workers=2))
    assert published(tmp_path / "here") == published(tmp_path / "there")
    assert not pq.read_table(tmp_path / "here/rejects/quarantined.parquet").num_rows
