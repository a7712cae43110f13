"""Cleaning a build: dear outputs stay, and what is built again fits to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from editloop.errors import StoreError
from editloop.kernel.build import Options, build, clean, retry
from editloop.kernel.tasks import StepSpec
from editloop.storage.verify import verify
from kernel_faults import published
from kernel_parts import logged, source, step

HERE = Options(workers=0)
ITEMS = [source(count={"train": 9, "heldout": 2})]
FLAKY = {"train/0003": "flaky"}


def steps(folder: Path, log: str = "log") -> list[StepSpec]:
    """A step that fails for a while, a dear one, and a cheap one after it."""
    return [
        step("MixedStep", drops=0, fails=0, splits=0),
        step("TroubleStep", on=FLAKY, folder=str(folder)),
        step("LoggedStep", log=str(folder / log), gpus=1, gpu_optional=True),
        step("MarkStep"),
    ]


def make(out: Path, parts: list[StepSpec], options: Options = HERE) -> int:
    return int(build(ITEMS, parts, out=out, shard_size=4, options=options).timings["shards"])


def answered(log: Path) -> list[str]:
    return sorted(word for line in logged(log) if "/" in (word := line.split()[1]))


@pytest.mark.slow
def test_a_retry_after_it_makes_the_dear_outputs_of_the_new_samples_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out, steps(tmp_path))
    dear = len(list(out.glob(".editloop/build/*/files/*")))
    assert clean(out) > 0
    assert 0 < len(list(out.glob(".editloop/build/*/files/*"))) < dear
    assert make(out, steps(tmp_path)) == 0
    (tmp_path / "up").touch()
    (tmp_path / "log").unlink()
    assert retry(out, options=HERE) == (1, 1)
    assert answered(tmp_path / "log") == ["train/0003"]
    make(tmp_path / "fresh", steps(tmp_path, "other"))
    assert published(out) == published(tmp_path / "fresh")
    assert verify(out) == []
    assert make(out, steps(tmp_path)) == 0


def test_a_step_that_was_added_after_it_gets_every_sample(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out, steps(tmp_path))
    clean(out)
    longer = [*steps(tmp_path), step("MarkStep", "again", word="?")]
    build(ITEMS, longer, out=out, shard_size=4, options=HERE, new_version=True)
    make(tmp_path / "fresh", [*steps(tmp_path, "other"), longer[-1]])
    assert published(out) == published(tmp_path / "fresh")
    assert len(answered(tmp_path / "log")) == len(answered(tmp_path / "other"))


def test_groups_over_several_shards_are_still_known(tmp_path: Path) -> None:
    ids = [f"{group:02d}-{number}" for number in range(3) for group in range(4)]
    parts = [
        step("TroubleStep", on={"02-0": "flaky"}, folder=str(tmp_path)),
        StepSpec("build", "gather", "gather"),
        step("RankStep", log=str(tmp_path / "log")),
    ]

    def gathered(out: Path) -> int:
        made = build([source(ids=ids)], parts, out=out, shard_size=4, options=HERE)
        return int(made.timings["shards"])

    gathered(tmp_path / "out")
    clean(tmp_path / "out")
    assert gathered(tmp_path / "out") == 0
    (tmp_path / "up").touch()
    assert retry(tmp_path / "out", options=HERE) == (1, 1)
    gathered(tmp_path / "fresh")
    assert published(tmp_path / "out") == published(tmp_path / "fresh")
    assert verify(tmp_path / "out") == []


def test_an_interrupted_build_is_not_cleaned_until_it_has_gone_on(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(out, steps(tmp_path), Options(workers=0, progress=stop))
    with pytest.raises(StoreError, match="not complete"):
        clean(out)
    make(out, steps(tmp_path))
    made = published(out)
    assert clean(out) > 0
    assert published(out) == made
    assert clean(out) == 0


def test_a_build_whose_records_are_missing_is_not_complete(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out, steps(tmp_path))
    made = published(out)
    record = min(out.glob(".editloop/build/*/commits/*@0.json"))
    record.unlink()
    with pytest.raises(StoreError, match="not complete"):
        clean(out)
    assert make(out, steps(tmp_path)) > 0
    assert published(out) == made
    assert clean(out) > 0


def test_a_folder_without_a_build_has_nothing_to_clean(tmp_path: Path) -> None:
    assert clean(tmp_path) == 0
