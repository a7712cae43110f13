"""Steps of one method: a filter gives reasons, a map gives samples or outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from editloop.errors import FailureClass
from editloop.kernel.build import Options, build, retry
from editloop.kernel.sample_steps import GroupStep, SampleFilter, SampleMap
from editloop.kernel.steps import Drop, Fail, Keep
from editloop.kernel.tasks import StepSpec
from editloop.schema import EditSample
from editloop.settings import Settings
from editloop.storage.samples import read_samples
from kernel_faults import published
from kernel_parts import source


class OddOnes(SampleFilter):
    """Keeps odd numbers."""

    def reject(self, sample: EditSample) -> str | None:
        return None if int(sample.id[-1]) % 2 else "even"


class Renamed(SampleMap):
    """Answers in every way that a map can."""

    class Settings(Settings):
        word: str = "hello"
        up: str = ""

    def change(self, sample: EditSample) -> Any:
        changed = replace(sample, instruction=self.settings.word)
        answers = {
            "0": changed,
            "1": Keep(
                (replace(changed, id=f"{sample.id}/a"), replace(changed, id=f"{sample.id}/b"))
            ),
            "2": Drop("too many"),
            "3": changed
            if Path(self.settings.up).exists()
            else Fail("down", FailureClass.TRANSIENT, "later"),
            "4": None,
            "5": True,
        }
        return answers[sample.id[-1]]


class Careless(SampleFilter):
    """Answers as if it were asked whether to keep."""

    def reject(self, sample: EditSample) -> Any:
        return sample.id.endswith("1") or ""


def spec(kind: str, **settings: str) -> StepSpec:
    return StepSpec("build", kind.lower(), f"{__name__}:{kind}", settings)


def rows(out: Path, name: str) -> dict[str, str]:
    table = pq.read_table(out / "rejects" / f"{name}.parquet").to_pylist()
    return {row["id"]: row.get("reason") or row["code"] for row in table}


def test_a_filter_is_one_method(tmp_path: Path) -> None:
    report = build([source()], [spec("OddOnes")], out=tmp_path, options=Options(workers=0))
    assert report.counts["by_step"]["dropped"] == {"oddones": {"even": 4}}
    kept = list(read_samples(tmp_path / "data", "train"))
    assert [sample.id[-1] for sample in kept] == list("1357")


def test_a_map_is_one_method_and_resumes(tmp_path: Path) -> None:
    up = tmp_path / "up"
    items = [source(count={"train": 6})]
    steps = [spec("Renamed", up=str(up))]
    out = tmp_path / "out"
    build(items, steps, out=out, shard_size=2, options=Options(workers=0))
    kept = list(read_samples(out / "data", "train"))
    assert [sample.id for sample in kept] == ["train/0000", "train/0001/a", "train/0001/b"]
    assert {sample.instruction for sample in kept} == {"hello"}
    assert rows(out, "dropped") == {"train/0002": "too many"}
    assert rows(out, "quarantined") == {
        "train/0003": "down",
        "train/0004": "contract",
        "train/0005": "contract",
    }
    before = published(out)
    again = build(items, steps, out=out, shard_size=2, options=Options(workers=0))
    assert (again.timings["shards"], published(out)) == (0, before)
    up.touch()
    assert retry(out, options=Options(workers=0)) == (1, 1)


def test_settings_and_version_are_part_of_its_identity() -> None:
    step = spec("Renamed", word="bye").create()
    assert step.parameters == {"word": "bye", "up": ""}
    assert (step.version, step.name, spec("OddOnes").create().name) == ("1", "renamed", "odd-ones")


@pytest.mark.parametrize("items", ["x0", "x1"])
def test_a_filter_that_answers_yes_or_no_is_refused(tmp_path: Path, items: str) -> None:
    report = build(
        [source(ids=[items])], [spec("Careless")], out=tmp_path, options=Options(workers=0)
    )
    assert report.counts["quarantined"] == 1
    (row,) = pq.read_table(tmp_path / "rejects" / "quarantined.parquet").to_pylist()
    assert "did not answer with a reason or None" in row["message"]


class Pairs(GroupStep):
    """Numbers the samples of each pair, or gives too few answers."""

    class Settings(Settings):
        lose: bool = False

    def group(self, sample: EditSample) -> str:
        return str(int(sample.id[-1]) // 2)

    def answer(self, samples: Sequence[EditSample]) -> list[EditSample]:
        made = [replace(each, instruction=str(at)) for at, each in enumerate(samples)]
        return made[1:] if self.settings.lose else made


def test_a_group_is_answered_together(tmp_path: Path) -> None:
    pairs = StepSpec("build", "pairs", f"{__name__}:Pairs", {})
    build([source()], [pairs], out=tmp_path / "a", options=Options(workers=0))
    kept = list(read_samples(tmp_path / "a" / "data", "train"))
    assert [sample.instruction for sample in kept] == list("01010101")
    losing = StepSpec("build", "pairs", f"{__name__}:Pairs", {"lose": True})
    report = build([source()], [losing], out=tmp_path / "b", options=Options(workers=0))
    assert report.counts["by_step"]["quarantined"] == {"pairs": {"contract": 8}}
