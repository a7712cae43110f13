"""Folders of pictures before and after, as people and trainers keep them."""

from pathlib import Path

import pytest

from editloop.schema import EditSample
from editloop.sources.layouts import open_layout
from layout_folders import png, put


def read(folder: Path, **options: str) -> dict[str, EditSample]:
    layout = open_layout("folders", folder, **options)
    return {sample.id: sample for (sample,) in layout.sessions()}


def wrong(folder: Path, **options: str) -> list[tuple[str, str]]:
    return [(it.cause, it.fix) for it in open_layout("folders", folder, **options).problems()]


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("before/a.png", "after/a.jpg", "after/a.txt"),
        ("source/a.png", "target/a.png", "source/a.txt"),
        ("Input/a.png", "Output/a.png", "instructions/a.txt"),
        ("control/a.png", "images/a.png", "images/a.txt"),
        ("conditioning/a.png", "10_style/../dataset/a.png", "dataset/a.txt"),
        ("trainA/a.png", "trainB/a.png", "trainB/a.txt"),
        ("a_start.png", "a_end.png", "a.txt"),
        ("a-before.png", "a-after.png", "a.txt"),
    ],
)
def test_the_usual_names_are_found(tmp_path: Path, before: str, after: str, text: str) -> None:
    (tmp_path / "10_style").mkdir()
    put(tmp_path / before, png())
    put(tmp_path / after, png(shade=3))
    put(tmp_path / text, "darken it\n")
    sample = read(tmp_path)["a"]
    assert sample.source is not None
    assert sample.target is not None
    assert (sample.source.bytes, sample.target.bytes) == (png(), png(shade=3))
    assert sample.instruction == "darken it"


def test_folders_of_other_names_are_named(tmp_path: Path) -> None:
    put(tmp_path / "raw" / "x" / "a.png", png())
    put(tmp_path / "new" / "x" / "a.png", png(shade=3))
    put(tmp_path / "words.csv", "file_name,instruction\nx/a.png,darken it\n")
    assert list(read(tmp_path, before="raw", after="new")) == ["x/a"]
    ((cause, fix),) = wrong(tmp_path)
    assert "no folders of pictures before and after" in cause
    assert fix == "name them: folders?before=FOLDER&after=FOLDER (it has new, raw)"


def test_what_could_be_meant_twice_is_refused(tmp_path: Path) -> None:
    for name in ("before", "source", "after"):
        put(tmp_path / name / "a.png", png())
    ((cause, fix),) = wrong(tmp_path)
    assert cause == "several folders may be the before"
    assert "(it has before, source)" in fix


def test_every_edit_has_both_pictures_and_one_instruction(tmp_path: Path) -> None:
    for name in ("before/a.png", "before/b.png", "after/a.png", "after/c.png", "before/d.png"):
        put(tmp_path / name, png())
    put(tmp_path / "after/d.png", png())
    put(tmp_path / "before/d.txt", "one")
    put(tmp_path / "after/d.txt", "two")
    assert [cause for cause, _ in wrong(tmp_path)] == [
        "it has no instruction",
        "it has no picture after",
        "it has no picture before",
        "its texts differ: one | two",
    ]


def test_masks_and_further_control_pictures_are_kept(tmp_path: Path) -> None:
    put(tmp_path / "control" / "a_0.png", png())
    put(tmp_path / "control" / "a_1.png", png("coffee"))
    put(tmp_path / "control_2" / "a.png", png("coffee", 2))
    put(tmp_path / "target" / "a.png", png(shade=3))
    put(tmp_path / "target" / "a.txt", "put the cup beside the cat")
    sample = read(tmp_path)["a"]
    assert sample.source is not None
    assert sample.source.bytes == png()
    assert [each.bytes for each in sample.references] == [png("coffee"), png("coffee", 2)]
