import json
from pathlib import Path
from typing import Any

import pytest

from editloop.errors import RecipeError
from editloop.schema import EditSample, EditType
from editloop.sources.layouts import open_layout
from layout_folders import metadata, parquet, png, put, see_through


def read(kind: str, folder: Path, **options: Any) -> list[list[EditSample]]:
    return list(open_layout(kind, folder, **options).sessions())


def only(kind: str, folder: Path, **options: Any) -> EditSample:
    ((sample,),) = read(kind, folder, **options)
    return sample


def wrong(kind: str, folder: Path, **options: Any) -> list[str]:
    return [f"{it.where}: {it.cause}" for it in open_layout(kind, folder, **options).problems()]


ROW = {"file_name": "a.png", "instruction": "make it dark"}


def test_a_row_of_metadata_is_an_edit(tmp_path: Path) -> None:
    put(tmp_path / "in" / "a.png", png())
    put(tmp_path / "out" / "a.png", png(shade=3))
    put(tmp_path / "m.png", see_through())
    row = {
        "id": "first",
        "source": "in/a.png",
        "target": "out/a.png",
        "mask": "m.png",
        "instruction": "make it dark",
        "source_caption": "a cat",
        "target_caption": "a dark cat",
        "inverse_instruction": "make it light",
        "edit_type": "Global",
        "edit_object": "cat",
        "photographer": "Stefan",
    }
    sample = only("metadata", metadata(tmp_path, [row]))
    assert sample.id == "first"
    assert sample.session is None
    assert sample.source.bytes == png()
    assert sample.target is not None
    assert sample.target.bytes == png(shade=3)
    assert sample.mask is not None
    assert (sample.instruction, sample.inverse_instruction) == ("make it dark", "make it light")
    assert (sample.source_caption, sample.target_caption) == ("a cat", "a dark cat")
    assert (sample.edit_type, sample.edit_object) == (EditType.GLOBAL, "cat")
    assert sample.provenance is not None
    assert sample.provenance.parameters == {"edit_type": "Global", "photographer": "Stefan"}


@pytest.mark.parametrize(
    "names",
    [
        ("input_image", "edited_image", "edit_prompt"),
        ("original_image_file_name", "edited_image_file_name", "edit_prompt"),
        ("source_img", "target_img", "instruction"),
        ("file_name", "output", "edit"),
    ],
)
def test_columns_may_be_called_as_the_fields_data_sets_call_them(
    tmp_path: Path, names: tuple[str, str, str]
) -> None:
    put(tmp_path / "a.png", png())
    put(tmp_path / "b.png", png(shade=2))
    row = dict(zip(names, ("a.png", "b.png", "make it dark"), strict=True))
    sample = only("metadata", metadata(tmp_path, [row]))
    assert sample.source.path == "a.png"
    assert sample.target is not None
    assert sample.target.path == "b.png"
    assert sample.instruction == "make it dark"


def test_a_row_without_an_id_is_called_by_its_number(tmp_path: Path) -> None:
    put(tmp_path / "a.png", png())
    sessions = read("metadata", metadata(tmp_path, [ROW, ROW]))
    assert [sample.id for (sample,) in sessions] == ["000000", "000001"]


def test_rows_of_one_session_are_its_turns(tmp_path: Path) -> None:
    for number in range(4):
        put(tmp_path / f"{number}.png", png(shade=number))
    rows = [
        {"session": session, "input": f"{at}.png", "output": f"{at + 1}.png", "edit": "darken"}
        for session, at in (("s", 0), ("s", 1), ("t", 2))
    ]
    first, second = read("metadata", metadata(tmp_path, rows))
    assert [(sample.id, sample.turn) for sample in first] == [("s/1", 1), ("s/2", 2)]
    assert first[1].source is first[0].target
    assert [sample.id for sample in second] == ["t/1"]


def test_a_missing_turn_is_a_problem(tmp_path: Path) -> None:
    put(tmp_path / "a.png", png())
    rows = [{**ROW, "session": "s", "turn": turn} for turn in (1, 3)]
    (found,) = wrong("metadata", metadata(tmp_path, rows))
    assert found == "metadata.jsonl line 1: the turns of session 's' are 1, 3"


def test_interleaved_and_reversed_sessions_are_sorted(tmp_path: Path) -> None:
    put(tmp_path / "a.png", png())
    rows = [
        {**ROW, "instruction": f"{session}{turn}", "session": session, "turn": turn}
        for session, turn in (("s", 2), ("t", 2), ("s", 1), ("t", 1))
    ]
    found = read("metadata", metadata(tmp_path, rows))
    assert [[(it.id, it.instruction) for it in turns] for turns in found] == [
        [("s/1", "s1"), ("s/2", "s2")],
        [("t/1", "t1"), ("t/2", "t2")],
    ]


def test_turns_counted_from_0_are_turns_and_a_missing_one_is_seen(tmp_path: Path) -> None:
    put(tmp_path / "a.png", png())
    rows = [
        {**ROW, "session": session, "turn": turn}
        for session, turn in (("s", 0), ("s", 1), ("t", 1))
    ]
    assert wrong("metadata", metadata(tmp_path, rows)) == [
        "metadata.jsonl line 3: the turns of session 't' are 2"
    ]
    (turns,) = read("metadata", metadata(tmp_path, rows[:2]))
    assert [(it.id, it.turn) for it in turns] == [("s/1", 1), ("s/2", 2)]


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        ({**ROW, "instruction": "  "}, "it has no instruction"),
        ({**ROW, "file_name": None}, "it has no source"),
        ({**ROW, "instruction": 7}, "its instruction is not a text: 7"),
        ({**ROW, "file_name": "../a.png"}, "its source names no file below the folder: '../a.png'"),
        ({**ROW, "session": "s", "turn": -1}, "its turn is not a number from 0 or 1 on: -1"),
        ({**ROW, "mask": {"path": None}}, "its mask holds no bytes of a picture"),
    ],
)
def test_a_row_that_is_no_edit_is_a_problem(
    tmp_path: Path, row: dict[str, Any], cause: str
) -> None:
    put(tmp_path / "a.png", png())
    assert wrong("metadata", metadata(tmp_path, [row])) == [f"metadata.jsonl line 1: {cause}"]


def test_every_faulty_line_is_listed(tmp_path: Path) -> None:
    put(tmp_path / "a.png", png())
    good = json.dumps(ROW)
    put(tmp_path / "metadata.jsonl", f"{good}\n{{\n\n[1]\n")
    found = wrong("metadata", tmp_path)
    assert [text.split(":")[:2] for text in found] == [
        ["metadata.jsonl line 2", " it is not JSON"],
        ["metadata.jsonl line 4", " no mapping"],
    ]


def test_two_edits_of_one_id_are_a_problem(tmp_path: Path) -> None:
    put(tmp_path / "a.png", png())
    rows = [{**ROW, "id": "x"}, {**ROW, "id": "x"}]
    assert wrong("metadata", metadata(tmp_path, rows)) == [
        "metadata.jsonl line 2: the id 'x' is used twice"
    ]


def test_the_kinds_of_edit_may_be_another_data_sets(tmp_path: Path) -> None:
    put(tmp_path / "a.png", png())
    metadata(tmp_path, [{**ROW, "edit_type": "change color"}])
    assert only("metadata", tmp_path).edit_type is None
    assert only("metadata", tmp_path, taxonomy="ultra-edit").edit_type is EditType.TEXTURE


EMU = {
    "idx": 17,
    "image": png(),
    "instruction": "make it dark",
    "task": "color",
    "input_caption": "a cat",
    "output_caption": "a dark cat",
    "edited_image": png(shade=4),
    "hash": "f00",
}


def test_emu_edit_is_read_from_parquet_without_a_target(tmp_path: Path) -> None:
    parquet(tmp_path / "data" / "test-00000-of-00001.parquet", [EMU])
    sample = only("emu-edit", tmp_path)
    assert (sample.id, sample.instruction, sample.target) == ("17", "make it dark", None)
    assert sample.source.bytes == png()
    assert (sample.source_caption, sample.target_caption) == ("a cat", "a dark cat")
    assert sample.edit_type is EditType.TEXTURE
    assert sample.provenance is not None
    assert sample.provenance.parameters == {"task": "color", "hash": "f00"}


def test_emu_edit_is_read_from_a_folder_too(tmp_path: Path) -> None:
    put(tmp_path / "17.png", png())
    plain = {key: value for key, value in EMU.items() if not isinstance(value, bytes)}
    sample = only("emu-edit", metadata(tmp_path, [{**plain, "image": "17.png"}]))
    assert (sample.id, sample.target_caption) == ("17", "a dark cat")


def test_emu_edit_needs_both_captions(tmp_path: Path) -> None:
    parquet(tmp_path / "test-00000-of-00001.parquet", [{**EMU, "output_caption": ""}])
    assert wrong("emu-edit", tmp_path) == [
        "test-00000-of-00001.parquet row 0: it has no target_caption"
    ]


def test_one_of_several_splits_is_chosen(tmp_path: Path) -> None:
    for split, number in (("test", 1), ("validation", 2)):
        parquet(tmp_path / f"{split}-00000-of-00001.parquet", [{**EMU, "idx": number}])
    assert only("emu-edit", tmp_path, split="validation").id == "2"
    (problem,) = open_layout("emu-edit", tmp_path).problems()
    assert problem.fix == "choose a split: test, validation"
    (problem,) = open_layout("emu-edit", tmp_path, split="train").problems()
    assert problem.fix == "its splits: test, validation"


def test_a_missing_file_of_a_split_is_a_problem(tmp_path: Path) -> None:
    for at in (0, 2):
        parquet(tmp_path / f"test-{at:05d}-of-00003.parquet", [{**EMU, "idx": at}])
    assert wrong("emu-edit", tmp_path) == [
        "test-00001-of-00003.parquet: a file of the split is missing"
    ]


def test_a_damaged_parquet_file_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "test-00000-of-00001.parquet"
    parquet(path, [EMU])
    path.write_bytes(path.read_bytes()[:-30])
    assert wrong("emu-edit", tmp_path)[0] == f"{path.name}: a Parquet file cannot be read back"


def test_a_damaged_picture_in_parquet_is_a_problem(tmp_path: Path) -> None:
    parquet(tmp_path / "test.parquet", [{**EMU, "image": png()[:200]}])
    assert wrong("emu-edit", tmp_path) == [
        "test.parquet row 0 source: the picture cannot be read: the picture ends before it is whole"
    ]


def test_hq_edit_calls_its_captions_input_and_output(tmp_path: Path) -> None:
    row = {
        "input": "a cat",
        "input_image": png(),
        "edit": "make it dark",
        "inverse_edit": "make it light",
        "output": "a dark cat",
        "output_image": png(shade=3),
    }
    parquet(tmp_path / "data" / "train-00000-of-00001.parquet", [row])
    sample = only("hq-edit", tmp_path)
    assert (sample.source_caption, sample.target_caption) == ("a cat", "a dark cat")
    assert (sample.instruction, sample.inverse_instruction) == ("make it dark", "make it light")
    assert sample.target is not None
    assert sample.target.bytes == png(shade=3)


GEDIT = {
    "key": "k1",
    "task_type": "subject-remove",
    "instruction": "remove the cat",
    "instruction_language": "en",
    "input_image": png(),
    "input_image_raw": png(shade=1),
    "Intersection_exist": True,
}


def test_gedit_gives_one_languages_instructions(tmp_path: Path) -> None:
    chinese = {**GEDIT, "instruction": "移除猫", "instruction_language": "cn"}
    parquet(tmp_path / "train-00000-of-00001.parquet", [GEDIT, chinese])
    english = only("gedit", tmp_path)
    assert (english.id, english.instruction) == ("k1", "remove the cat")
    assert english.source.bytes == png()
    assert english.edit_type is EditType.REMOVE
    assert english.provenance is not None
    assert english.provenance.parameters == {
        "task_type": "subject-remove",
        "instruction_language": "en",
        "Intersection_exist": True,
    }
    assert only("gedit", tmp_path, language="cn").instruction == "移除猫"


def test_a_language_that_no_row_has_is_a_problem(tmp_path: Path) -> None:
    parquet(tmp_path / "train-00000-of-00001.parquet", [GEDIT])
    assert wrong("gedit", tmp_path, language="cn") == [f"{tmp_path}: the data set contains no edit"]


def test_an_unknown_language_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="language"):
        open_layout("gedit", tmp_path, language="fr")


def test_a_folder_without_a_table_is_a_problem(tmp_path: Path) -> None:
    (problem,) = open_layout("metadata", tmp_path).problems()
    assert (
        problem.cause == "it has neither a metadata.jsonl nor a table file "
        "(.parquet, .arrow, .tar, .jsonl, .ndjson, .json, .csv, .tsv)"
    )
