"""Groups that span shards: `gather` brings each together, streams, resumes and is accounted for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from editloop.errors import RecipeError, StepError
from editloop.kernel.build import BuildReport, Options, build, retry
from editloop.kernel.tasks import StepSpec
from editloop.storage.samples import read_samples
from editloop.storage.verify import verify
from kernel_faults import published
from kernel_parts import source, step

HERE = Options(workers=0)
IDS = [f"{group:02d}-{number}" for number in range(3) for group in range(10)]
GATHER = StepSpec("build", "gather", "gather")


def steps(folder: Path, kind: str = "BestStep", **on: str) -> list[StepSpec]:
    """Steps before and after a step that needs whole groups."""
    return [
        step("TroubleStep", on=on, folder=str(folder)),
        GATHER,
        step(kind, log=str(folder / "log")),
        step("NetworkStep", label="n", drops=0, fails=0, splits=0),
    ]


def make(out: Path, parts: list[StepSpec], options: Options = HERE) -> BuildReport:
    return build([source(ids=IDS)], parts, out=out, shard_size=4, options=options)


def kept(out: Path) -> list[str]:
    return [each.id for each in read_samples(out / "data", "train")]


def sizes(folder: Path) -> list[int]:
    """Return the sizes of the groups that the step got."""
    lines = (folder / "log").read_text().splitlines()
    return [len(group) for line in lines for group in json.loads(line).values()]


def interrupted(out: Path, parts: list[StepSpec], commits: int) -> None:
    seen: list[object] = []

    def stop(progress: object) -> None:
        seen.append(progress)
        if len(seen) == commits:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(out, parts, Options(workers=0, progress=stop))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_the_step_gets_whole_groups_and_every_input_has_an_end(
    tmp_path: Path, workers: int
) -> None:
    report = make(tmp_path / "out", steps(tmp_path), Options(workers=workers))
    assert sizes(tmp_path) == [3] * 10
    assert sorted(kept(tmp_path / "out")) == [f"{group:02d}-2" for group in range(10)]
    counts = report.counts
    assert counts["in"] == 30
    assert counts["inputs"] == {"output": 10, "dropped": 20, "quarantined": 0}
    assert verify(tmp_path / "out") == []


def test_inputs_of_several_samples_that_end_in_several_shards_count_once(tmp_path: Path) -> None:
    parts = [
        step(drops=0, fails=0, splits=1),
        GATHER,
        step("HalvesStep", log=str(tmp_path / "log")),
    ]
    report = make(tmp_path / "out", parts)
    assert report.counts["in"] == sum(report.counts["inputs"].values()) == 30
    assert report.counts["inputs"] == {"output": 30, "dropped": 0, "quarantined": 0}
    assert report.counts["out"] == 30
    assert report.counts["dropped"] == 30


@pytest.mark.slow
def test_workers_do_not_change_a_byte(tmp_path: Path) -> None:
    make(tmp_path / "a", steps(tmp_path, "RankStep"))
    make(tmp_path / "b", steps(tmp_path, "RankStep"), Options(workers=2))
    assert published(tmp_path / "a") == published(tmp_path / "b")


@pytest.mark.slow
def test_an_interrupted_build_goes_on_from_every_commit(tmp_path: Path) -> None:
    parts = steps(tmp_path, "RankStep")
    make(tmp_path / "whole", parts)
    for commits in (3, 10, 16, 18, 26):  # of eight shards in four segments
        out = tmp_path / str(commits)
        interrupted(out, parts, commits)
        assert published(out) == {}
        (tmp_path / "log").write_text("")
        make(out, parts)
        assert set(sizes(tmp_path)) <= {3}
        assert published(out) == published(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["BestStep", "RankStep"])
def test_a_retry_gives_the_step_its_whole_group_again(tmp_path: Path, kind: str) -> None:
    """The first sample of a group comes back, so that the group moves to another shard."""
    on = {"02-0": "flaky", "07-2": "flaky"}
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    make(out, steps(tmp_path, kind, **on))
    assert sorted(sizes(tmp_path)) == [2, 2, *[3] * 8]
    (tmp_path / "up").touch()
    (tmp_path / "log").unlink()
    assert retry(out, options=HERE) == (2, 2)
    assert set(sizes(tmp_path)) == {3}
    again = make(out, steps(tmp_path, kind, **on))
    assert again.timings["shards"] == 0
    make(fresh, steps(tmp_path, kind, **on))
    assert published(out) == published(fresh)
    assert verify(out) == []


@pytest.mark.slow
def test_a_group_that_kills_its_worker_costs_itself(tmp_path: Path) -> None:
    parts = steps(tmp_path)
    parts[2] = step("BestStep", log=str(tmp_path / "log"), kill="04-1")
    report = make(tmp_path / "out", parts, Options(workers=1))
    assert report.counts["by_step"]["quarantined"] == {"BestStep": {"worker-killed": 3}}
    assert report.counts["inputs"] == {"output": 9, "dropped": 18, "quarantined": 3}
    assert set(sizes(tmp_path)) == {3}


def test_a_split_has_groups_of_its_own(tmp_path: Path) -> None:
    items = [source(count={"train": 1, "heldout": 1}, kind="PairSource")]
    out = tmp_path / "out"
    build(items, steps(tmp_path), out=out, shard_size=2, options=HERE)
    assert sizes(tmp_path) == [3, 3]


@pytest.mark.parametrize("after", [[], [step()]])
def test_gather_needs_a_step_that_names_groups(tmp_path: Path, after: list[StepSpec]) -> None:
    with pytest.raises(RecipeError, match="not followed by a step that names groups"):
        make(tmp_path, [step("TroubleStep"), GATHER, *after])


def test_a_second_gather_is_refused(tmp_path: Path) -> None:
    again = StepSpec("build", "again", "gather")
    ranks = [step("RankStep", name, log=str(tmp_path / "log")) for name in "ab"]
    with pytest.raises(RecipeError, match="can gather once"):
        make(tmp_path, [GATHER, ranks[0], again, ranks[1]])


def test_a_step_that_cannot_name_a_group_stops_the_build(tmp_path: Path) -> None:
    class_of = step("NamelessStep", log=str(tmp_path / "log"))
    with pytest.raises(StepError, match="named no group for '00-0'"):
        make(tmp_path / "out", [step("TroubleStep"), GATHER, class_of])
    assert published(tmp_path / "out") == {}
