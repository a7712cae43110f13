"""Columns are guessed only where no other could be meant: the target is never taken as source."""

from pathlib import Path
from typing import Any

import pytest

from editloop.errors import RecipeError
from editloop.schema import EditSample
from editloop.sources.import_data import import_data
from editloop.sources.layouts import open_layout
from layout_folders import metadata, parquet, png, put, see_through


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for at, name in enumerate("abc"):
        put(tmp_path / f"{name}.png", png(shade=at))
    return tmp_path


def read(kind: str, folder: Path, **options: Any) -> EditSample:
    ((sample,),) = open_layout(kind, folder, **options).sessions()
    return sample


# DiffSynth-Studio's columns: `image` is the target, `edit_image` the source.
TRAINER = {"image": "b.png", "prompt": "make it dark", "edit_image": "a.png"}


@pytest.mark.parametrize(
    ("map", "cause"),
    [
        ({"instruction": "prompt"}, "image and edit_image may each be the source"),
        ({"instruction": "prompt", "target": "image"}, "no column for the field source"),
        ({"instruction": "prompt", "source": "edit_image"}, "image may be the target"),
        ({"source": "edit_image"}, "no column for the field instruction"),
        ({"target": "image"}, "no column for the field"),
    ],
)
@pytest.mark.parametrize("stored", ["metadata.jsonl", "part.parquet"])
def test_a_trainers_columns_are_mapped_wholly_or_refused(
    folder: Path, map: dict[str, str], cause: str, stored: str
) -> None:
    data = tables(folder, stored)
    with pytest.raises(RecipeError, match=cause):
        read("table", data, map=map)
    with pytest.raises(RecipeError, match=cause):
        import_data("table", data, folder / "out", columns=map, workers=1)


@pytest.mark.parametrize("stored", ["metadata.jsonl", "part.parquet"])
def test_a_trainers_columns_that_are_mapped_are_read_so(folder: Path, stored: str) -> None:
    columns = {"instruction": "prompt", "target": "image", "source": "edit_image"}
    sample = read("table", tables(folder, stored), map=columns)
    assert sample.source.bytes == png(shade=0)
    assert sample.target is not None
    assert sample.target.bytes == png(shade=1)


def tables(folder: Path, stored: str) -> Path:
    if stored == "metadata.jsonl":
        return metadata(folder, [TRAINER])
    row = {**TRAINER, "image": png(shade=1), "edit_image": png(shade=0)}
    parquet(folder / "table" / stored, [row])
    return folder / "table"


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        ({"image": "a.png", "control": "b.png"}, "image and control may each be the source"),
        ({"file_name": "a.png", "after": "b.png"}, "file_name and after may each be the source"),
        ({"file_name": "a.png", "edit": "b.png"}, "file_name and edit may each be the source"),
        ({"source_image": "a.png", "image": "b.png"}, "source_image and image may each be"),
        ({"source": "a.png", "target": "b.png", "output": "c.png"}, "target and output may each"),
        ({"source": "a.png", "edit_prompt": "make it red"}, "instruction and edit_prompt may each"),
        ({"image": "a.png", "cond": {"bytes": "x"}}, "image and cond may each be the source"),
    ],
)
def test_columns_that_could_be_meant_are_named(
    folder: Path, row: dict[str, Any], cause: str
) -> None:
    data = metadata(folder, [{"instruction": "make it dark", **row}])
    (problem, *_) = open_layout("metadata", data).problems()
    assert cause in problem.cause
    assert "--map" in problem.fix


@pytest.mark.parametrize(
    "row",
    [
        {"image": "a.png", "edited_image": "b.png"},
        {"image": "a.png", "mask": "m.png"},
        {"file_name": "a.png", "image": "a.png", "url": "https://example.com/c.png"},
        {"input_image": "a.png", "input_image_raw": "b.png"},
        {"image": "a.png", "edit_prompt": "make it dark", "target": None, "output": "b.png"},
    ],
)
def test_columns_of_which_one_fits_are_read(folder: Path, row: dict[str, Any]) -> None:
    put(folder / "m.png", see_through())
    data = metadata(folder, [{"instruction": "make it dark", **row}])
    assert read("metadata", data).source.bytes == png(shade=0)


def test_a_later_row_is_checked_too(folder: Path) -> None:
    good = {"image": "a.png", "instruction": "make it dark"}
    data = metadata(folder, [good, {**good, "control": "b.png"}])
    (problem,) = open_layout("metadata", data).problems()
    assert problem.where == "metadata.jsonl line 2"


def test_an_instruction_that_is_a_file_name_is_a_fault(folder: Path) -> None:
    data = metadata(folder, [{"source": "a.png", "instruction": "b.png"}])
    (problem,) = open_layout("metadata", data).problems()
    assert problem.cause == "its instruction is a picture's name: 'b.png'"
