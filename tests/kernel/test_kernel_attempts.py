"""Attempts, references and text-first samples pass through a build and are read back whole."""

from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest

from editloop.errors import StepError
from editloop.kernel.build import BuildReport, Options, build
from editloop.schema import EditOutcome
from editloop.storage.samples import read_attempts, read_samples, split_names
from editloop.storage.verify import verify
from kernel_parts import picture, source, step

HERE = Options(workers=0)


def make(out: Path, *steps, **settings) -> BuildReport:
    return build([source(count={"train": 5}, **settings)], list(steps), out=out, options=HERE)


def quarantined(out: Path) -> list[tuple[str, str]]:
    rows = pq.read_table(out / "rejects" / "quarantined.parquet").to_pylist()
    return [(row["code"], row["message"]) for row in rows]


def test_every_attempt_is_published_beside_the_samples(tmp_path) -> None:
    report = make(tmp_path, step("AttemptStep", hopeless=["train/0002"]), step("MarkStep"))
    attempts = list(read_attempts(tmp_path / "data", "train"))
    assert [(each.sample.id, each.number, each.chosen) for each in attempts[:2]] == [
        ("train/0000/0", 1, False),
        ("train/0000", 2, True),
    ]
    assert len(attempts) == 9
    assert attempts[0].outcome is EditOutcome.UNCHANGED
    assert (attempts[0].cost, attempts[0].reason) == (0.5, "nothing changed")
    assert attempts[1].sample.target == picture("target", 64)
    assert report.counts["out"] == 4
    assert report.counts["by_step"]["dropped"] == {"AttemptStep": {"no attempt passed": 1}}
    assert verify(tmp_path) == []


def test_attempts_are_no_split_and_no_sample(tmp_path) -> None:
    make(tmp_path, step("AttemptStep"))
    assert split_names(tmp_path / "data") == ["train"]
    assert [sample.id for sample in read_samples(tmp_path / "data", "train")] == [
        f"train/{index:04d}" for index in range(5)
    ]


def test_without_attempts_there_is_no_file_of_them(tmp_path) -> None:
    make(tmp_path)
    assert not list((tmp_path / "data").glob("attempts-*"))
    assert list(read_attempts(tmp_path / "data", "train")) == []


def test_references_are_read_back_here_and_by_datasets(tmp_path) -> None:
    make(tmp_path, step("AttemptStep"))
    for sample in read_samples(tmp_path / "data", "train"):
        assert sample.references == (picture("reference", 64),)
    files = str(tmp_path / "data" / "train-*.parquet")
    data = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
    )
    assert isinstance(data.features["references"].feature, datasets.Image)


def test_an_attempt_that_is_chosen_must_be_kept(tmp_path) -> None:
    make(tmp_path, step("AttemptStep", chosen=False))
    found = quarantined(tmp_path)
    assert [code for code, _ in found] == ["contract"] * 5
    assert "chose an attempt that it did not keep: 'train/0000/0'" in found[0][1]


def test_an_attempt_that_cannot_be_stored_costs_its_input_alone(tmp_path) -> None:
    make(tmp_path, step("AttemptStep", half=True))
    found = quarantined(tmp_path)
    assert len(found) == 5
    assert all("made an attempt that cannot be stored" in message for _, message in found)


def test_a_text_first_sample_gets_its_picture_later(tmp_path) -> None:
    make(tmp_path, step("PaintStep"), kind="BlankSource")
    for sample in read_samples(tmp_path / "data", "train"):
        assert sample.source_image == picture(sample.id, 64)


def test_a_sample_without_a_picture_is_not_published(tmp_path) -> None:
    with pytest.raises(StepError, match="without a source picture cannot be published"):
        make(tmp_path, kind="BlankSource")
    assert not (tmp_path / "data").exists()
