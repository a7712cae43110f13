"""Building: all inputs are accounted for, bytes are reproducible, only whole sets published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from editloop.errors import RecipeError, StepError, UnavailableError
from editloop.kernel.build import BuildReport, Options, build
from editloop.kernel.progress import Progress
from editloop.schema import Json
from editloop.storage.samples import arrow_schema, read_samples
from editloop.storage.verify import verify
from kernel_faults import published
from kernel_parts import picture, source, step

HERE = Options(workers=0)
SOURCES = [source(count={"train": 17, "heldout": 5}, broken=["train/0003"])]
STEPS = [step(), step("MarkStep"), step("NetworkStep", label="n")]


def make(out: Path, options: Options = HERE, **changes: Any) -> BuildReport:
    settings = {"sources": SOURCES, "steps": STEPS, "seed": 1, "shard_size": 4} | changes
    return build(out=out, options=options, **settings)


def rows(out: Path, name: str) -> list[dict[str, Json]]:
    found: list[dict[str, Json]] = pq.read_table(out / "rejects" / f"{name}.parquet").to_pylist()
    return found


def ids(out: Path, split: str = "train") -> list[str]:
    return [sample.id for sample in read_samples(out / "data", split)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished build that tests only read."""
    out = tmp_path_factory.mktemp("whole")
    make(out)
    return out


def test_every_input_has_one_end(whole: Path) -> None:
    report = make(whole)
    counts = report.counts
    assert counts["in"] == 22
    assert sum(counts["inputs"].values()) == 22
    assert counts["out"] == len(ids(whole)) + len(ids(whole, "heldout"))
    assert counts["dropped"] == len(rows(whole, "dropped"))
    assert counts["quarantined"] == len(rows(whole, "quarantined"))
    ends = [
        *ids(whole),
        *ids(whole, "heldout"),
        *(row["id"] for name in ("dropped", "quarantined") for row in rows(whole, name)),
    ]
    assert len(ends) == len(set(ends))
    roots = {"/".join(name.split("/")[:2]) for name in ends}
    assert len(roots) == 22


def test_counts_are_told_by_split_step_and_reason(whole: Path) -> None:
    counts = make(whole).counts
    assert counts["splits"]["train"]["in"] == 17
    assert counts["by_step"]["quarantined"]["list"] == {"truncated": 1}
    assert counts["by_class"]["permanent"] == 1
    for what in ("dropped", "quarantined"):
        told = counts["by_step"][what]
        assert sum(sum(reasons.values()) for reasons in told.values()) == counts[what]
        assert counts[what] == sum(split[what] for split in counts["splits"].values())


def test_quarantine_names_the_cause(whole: Path) -> None:
    (row,) = [row for row in rows(whole, "quarantined") if row["step"] == "list"]
    assert row == {
        "id": "train/0003",
        "step": "list",
        "code": "truncated",
        "class": "permanent",
        "message": "half a file",
        "attempts": 1,
        "reply_key": None,
    }


@pytest.mark.slow
def test_workers_do_not_change_a_byte(whole: Path, tmp_path: Path) -> None:
    report = make(tmp_path, Options(workers=2))
    assert published(tmp_path) == published(whole)
    assert report.counts == make(whole).counts


def test_another_seed_changes_the_data(whole: Path, tmp_path: Path) -> None:
    make(tmp_path, seed=2)
    assert ids(tmp_path) != ids(whole)


def test_samples_come_out_in_the_order_of_the_items(whole: Path) -> None:
    assert ids(whole) == sorted(ids(whole))


def test_a_second_run_changes_nothing(whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (whole / "data").iterdir()}
    assert make(whole).timings["shards"] == 0
    assert before == {path: path.stat().st_mtime_ns for path in (whole / "data").iterdir()}


def test_a_published_file_that_went_away_is_published_again(tmp_path: Path) -> None:
    make(tmp_path)
    before = published(tmp_path)
    (tmp_path / "data" / "train-00000-of-00001.parquet").unlink()
    assert make(tmp_path).timings["shards"] == 0
    assert published(tmp_path) == before


def test_datasets_sees_images(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    files = {split: str(whole / "data" / f"{split}-*.parquet") for split in ("train", "heldout")}
    found = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path))
    assert isinstance(found["train"].features["source"], datasets.Image)
    assert isinstance(found["train"].features["mask"], datasets.Image)
    assert found["train"]["id"][:] == ids(whole)


def test_the_published_schema_is_the_frozen_one(whole: Path) -> None:
    for path in (whole / "data").iterdir():
        schema = pq.read_schema(path)
        assert schema.equals(arrow_schema())
        assert schema.metadata[b"huggingface"] == arrow_schema().metadata[b"huggingface"]


def test_a_split_without_samples_is_an_empty_file(tmp_path: Path) -> None:
    make(tmp_path, sources=[source(count={"train": 3})], steps=[step(drops=1)])
    assert ids(tmp_path) == []
    assert len(rows(tmp_path, "dropped")) == 3


def test_several_sources_make_one_set(tmp_path: Path) -> None:
    sources = [source("one", count={"train": 5}), source("two", count={"train": 2}, ids=["x", "y"])]
    make(tmp_path, sources=sources, steps=[])
    assert ids(tmp_path) == [*(f"train/{index:04d}" for index in range(5)), "x", "y"]


def test_two_inputs_of_one_id_are_refused(tmp_path: Path) -> None:
    sources = [source("one", ids=["a", "b"]), source("two", ids=["c", "b"])]
    with pytest.raises(StepError, match="two inputs have the same id: b"):
        make(tmp_path, sources=sources)


def test_two_samples_of_one_id_in_different_shards_are_never_published(tmp_path: Path) -> None:
    sources = [source(ids=["a1", "b", "c", "d", "a2"])]
    steal = [step("TroubleStep", on={"1": "steal", "2": "steal"})]
    with pytest.raises(StepError, match="two samples have the same id: a0"):
        make(tmp_path, sources=sources, steps=steal)
    assert published(tmp_path) == {}


def test_one_id_for_two_samples_of_a_shard_costs_the_second(tmp_path: Path) -> None:
    steal = [step("TroubleStep", on={"1": "steal", "2": "steal"})]
    make(tmp_path, sources=[source(ids=["a1", "b", "a2"])], steps=steal)
    assert ids(tmp_path) == ["a0", "b"]
    assert [row["id"] for row in rows(tmp_path, "quarantined")] == ["a2"]


def test_a_sample_that_arrow_cannot_hold_costs_itself(tmp_path: Path) -> None:
    surrogate = [step("TroubleStep", on={"b": "surrogate"})]
    make(tmp_path, sources=[source(ids=["a", "b", "c"])], steps=surrogate)
    assert ids(tmp_path) == ["a", "c"]
    (row,) = rows(tmp_path, "quarantined")
    assert (row["id"], row["code"]) == ("b", "UnicodeEncodeError")


def test_a_source_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="no pictures"):
        make(tmp_path, sources=[source(count={})])


def test_two_parts_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="two parts have the same name: MixedStep"):
        make(tmp_path, steps=[step(), step()])


def test_what_a_step_lacks_stops_the_build_and_nothing_is_published(tmp_path: Path) -> None:
    lacking = [step("TroubleStep", on={"0003": "unavailable"})]
    with pytest.raises(UnavailableError, match="fetch them"):
        make(tmp_path, steps=lacking)
    assert published(tmp_path) == {}


def test_progress_is_told_after_each_commit(tmp_path: Path) -> None:
    told: list[Progress] = []
    report = make(tmp_path, Options(workers=0, progress=told.append))
    assert [each.done for each in told] == [*range(1, 15), 14]
    assert {each.total for each in told} == {14}
    assert told[-1].samples >= report.counts["out"]


def test_a_finished_build_verifies(whole: Path) -> None:
    assert verify(whole) == []


UNICODE = [
    "caf\u00e9",  # NFC
    "cafe\u0301",  # NFD
    "\u05e9\u05dc\u05d5\u05dd \u202e\u05e2",  # right to left, with an override
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308",  # emoji
    "nul\u0000inside",
    "line\u2028break\r\n\ttab",
    " \ufeff spaces ",
]


def test_unicode_is_kept_byte_for_byte(tmp_path: Path) -> None:
    word = "".join(UNICODE)
    steps = [step(drops=0, fails=0, splits=0), step("MarkStep", word=word)]
    make(tmp_path, Options(workers=1), sources=[source(ids=UNICODE)], steps=steps)
    found = list(read_samples(tmp_path / "data", "train"))
    assert [sample.id for sample in found] == UNICODE
    for sample in found:
        assert sample.instruction == f"edit {sample.id}{word}"
        assert sample.source == picture(sample.id, 300)
        assert sample.provenance is not None
        assert sample.provenance.source_uri == f"list:{sample.id}"


def test_unicode_of_drops_and_failures_is_kept(tmp_path: Path) -> None:
    on = {"caf\u00e9": "raise", "nul\u0000inside": "image"}
    make(tmp_path, sources=[source(ids=UNICODE)], steps=[step("TroubleStep", on=on)])
    failed = {row["id"]: row["message"] for row in rows(tmp_path, "quarantined")}
    assert set(failed) == set(on)
    assert "cannot take caf\u00e9" in failed["caf\u00e9"]


def test_an_id_that_cannot_be_stored_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="cannot be stored as UTF-8"):
        make(tmp_path, sources=[source(ids=["fine", "\ud800"])])
