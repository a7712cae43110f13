"""Groups: batches, bisection, retries, lost workers and resumes never tear one apart."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from editloop.errors import StepError
from editloop.kernel.build import BuildReport, Options, build, retry
from editloop.kernel.groups import packed, units_of
from editloop.kernel.tasks import StepSpec
from editloop.storage.samples import read_samples
from editloop.storage.verify import verify
from kernel_faults import published
from kernel_parts import source, step

HERE = Options(workers=0)


def candidates(groups: int, each: int = 3) -> list[StepSpec]:
    """A source of groups whose members are far from each other, in one shard."""
    ids = [f"{group:03d}-{number}" for number in range(each) for group in range(groups)]
    return [source(ids=ids)]


def make(
    out: Path, groups: int, steps: list[StepSpec], options: Options = HERE, shard_size: int = 512
) -> BuildReport:
    return build(candidates(groups), steps, out=out, shard_size=shard_size, options=options)


def best(out: Path, **settings: str) -> StepSpec:
    return step("BestStep", log=str(out.parent / "log"), **settings)


def seen(out: Path) -> list[dict[str, list[str]]]:
    """Return the groups of each call of the step."""
    return [json.loads(line) for line in (out.parent / "log").read_text().splitlines()]


def kept(out: Path) -> dict[str, str]:
    return {each.id: each.instruction for each in read_samples(out / "data", "train")}


def quarantine(out: Path) -> dict[str, str]:
    table = pq.read_table(out / "rejects" / "quarantined.parquet").to_pylist()
    return {row["id"]: row["code"] for row in table}


def test_rows_of_a_group_are_one_unit() -> None:
    units = units_of(list("abcab"))
    assert units == [[0, 3], [1, 4], [2]]
    assert list(packed(units, 3)) == [[[0, 3]], [[1, 4], [2]]]
    assert list(packed(units, 1)) == [[[0, 3]], [[1, 4]], [[2]]]
    assert list(packed([], 3)) == []


def test_a_batch_has_whole_groups_and_outcomes_keep_their_order(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out, 50, [best(out)])
    assert len(seen(out)) > 1
    assert {len(group) for call in seen(out) for group in call.values()} == {3}
    assert list(kept(out).items()) == [(f"{at:03d}-2", "best of 3") for at in range(50)]


def test_a_group_larger_than_a_batch_stays_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(candidates(1, 100), [best(out)], out=out, shard_size=512, options=HERE)
    assert kept(out) == {"000-99": "best of 100"}


def test_bisection_finds_the_group_at_fault(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out, 10, [best(out, bad="004-1")])
    assert quarantine(out) == {f"004-{number}": "ValueError" for number in range(3)}
    assert len(kept(out)) == 9
    assert {len(group) for call in seen(out) for group in call.values()} == {3}


@pytest.mark.slow
def test_a_group_that_kills_its_worker_costs_itself(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out, 5, [best(out, kill="004-1")], Options(workers=1))
    assert quarantine(out) == {f"004-{number}": "worker-killed" for number in range(3)}
    assert len(kept(out)) == 4
    assert {len(group) for call in seen(out) for group in call.values()} == {3}


def test_a_group_with_a_sample_that_lacks_something_is_refused_whole(tmp_path: Path) -> None:
    drop = step("DropTargetStep", on="001-0")
    out = tmp_path / "out"
    needs = step("NeedyBestStep", log=str(tmp_path / "log"))
    make(out, 3, [step(drops=0, fails=0, splits=0), drop, needs])
    assert quarantine(out) == {f"001-{number}": "contract" for number in range(3)}
    assert len(kept(out)) == 2


@pytest.mark.parametrize("kind", ["BestStep", "RankStep"])
def test_a_retry_gives_the_step_its_whole_group_again(tmp_path: Path, kind: str) -> None:
    """Samples of the group that passed before may change, and what follows is made anew."""

    def steps() -> list[StepSpec]:
        on = {"002-1": "flaky", "004-2": "flaky"}
        return [
            step("TroubleStep", on=on, folder=str(tmp_path)),
            step(kind, log=str(tmp_path / "log")),
            step("NetworkStep", label="n", drops=0, fails=0, splits=0),
        ]

    out, fresh = tmp_path / "out", tmp_path / "fresh"
    make(out, 6, steps())
    assert len(quarantine(out)) == 2
    (tmp_path / "up").touch()
    (tmp_path / "log").unlink()
    assert retry(out, options=HERE) == (2, 2)
    again = [group for call in seen(out) for group in call.values()]
    assert sorted(map(sorted, again)) == [[f"{at}-{n}" for n in range(3)] for at in ("002", "004")]
    make(fresh, 6, steps())
    assert published(out) == published(fresh)
    assert verify(out) == []


def test_an_interrupted_retry_goes_on(tmp_path: Path) -> None:
    steps = [
        step("TroubleStep", on={"002-1": "flaky"}, folder=str(tmp_path)),
        step("RankStep", log=str(tmp_path / "log")),
        step("NetworkStep", label="n", drops=0, fails=0, splits=0),
    ]
    out = tmp_path / "out"
    make(out, 4, steps)
    (tmp_path / "up").touch()
    for _ in range(3):  # after each segment's commit

        def stop(_: object) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            retry(out, options=Options(workers=0, progress=stop))
    make(out, 4, steps)
    retry(out, options=HERE)
    make(tmp_path / "fresh", 4, steps)
    assert published(out) == published(tmp_path / "fresh")


def test_a_group_in_two_shards_is_refused_with_its_name(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(StepError, match="spread over several shards: 000"):
        make(out, 4, [best(out)], shard_size=4)
    assert published(out) == {}


def test_workers_do_not_change_a_byte(tmp_path: Path) -> None:
    steps = [step("RankStep", log=str(tmp_path / "log")), step()]
    make(tmp_path / "a", 30, steps)
    make(tmp_path / "b", 30, steps, Options(workers=2))
    assert published(tmp_path / "a") == published(tmp_path / "b")
