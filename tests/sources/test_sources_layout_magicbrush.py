import json
from pathlib import Path

import numpy as np
import pytest

from editloop.errors import RecipeError
from editloop.images.codec import decode_mask
from editloop.sources import reading
from editloop.sources.layouts import open_layout
from layout_folders import HEIGHT, WIDTH, jpeg, magicbrush, png, put, see_through

TURNS = {"30": 1, "139": 3, "9": 2}


@pytest.fixture
def split(tmp_path: Path) -> Path:
    return magicbrush(tmp_path / "test", TURNS)


def change(split: Path, name: str, **sessions: object) -> None:
    """Replace sessions in an index; `_30=None` removes session 30."""
    content = json.loads((split / name).read_text())
    for key, value in sessions.items():
        content[key.removeprefix("_")] = value
    content = {key: value for key, value in content.items() if value is not None}
    (split / name).write_text(json.dumps(content))


def wrong(split: Path) -> list[str]:
    return [f"{it.where}: {it.cause}" for it in open_layout("magicbrush", split).problems()]


def test_sessions_come_in_the_order_of_the_index_with_their_turns(split: Path) -> None:
    sessions = list(open_layout("magicbrush", split).sessions())
    ids = [[sample.id for sample in session] for session in sessions]
    assert ids == [["30/1"], ["139/1", "139/2", "139/3"], ["9/1", "9/2"]]
    assert [(s.session, s.turn, s.parent_id) for s in sessions[2]] == [
        ("9", 1, None),
        ("9", 2, "9/1"),
    ]


def test_a_sample_holds_its_files_instruction_and_local_caption(split: Path) -> None:
    folder = split / "images" / "139"
    sample = list(open_layout("magicbrush", split).sessions())[1][1]
    assert sample.source.bytes == (folder / "139-output1.png").read_bytes()
    assert sample.target is not None
    assert sample.target.bytes == (folder / "139-output2.png").read_bytes()
    assert sample.target.path == "139-output2.png"
    assert sample.instruction == "make it darker by 2"
    assert sample.target_caption == "dark fur 139 2"


def test_global_captions_are_in_the_provenance(split: Path) -> None:
    (sample,) = next(iter(open_layout("magicbrush", split).sessions()))
    assert sample.provenance is not None
    assert sample.provenance.parameters == {
        "global_caption": "a dark cat 30 1",
        "global_caption_source": "a cat 30",
    }


def test_a_mask_is_passed_on_in_its_transparent_form(split: Path) -> None:
    (sample,) = next(iter(open_layout("magicbrush", split).sessions()))
    assert sample.mask is not None
    allowed = np.zeros((HEIGHT, WIDTH), bool)
    allowed[4:20, 6:30] = True
    assert ((decode_mask(sample.mask.bytes) == 255) == allowed).all()


def test_a_turns_source_is_the_same_image_as_the_target_before(split: Path) -> None:
    first, second, third = list(open_layout("magicbrush", split).sessions())[1]
    assert second.source is first.target
    assert third.source is second.target


def test_each_file_is_read_once_a_session_and_not_before(
    split: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = open_layout("magicbrush", split)
    assert layout.problems() == []
    opened: list[str] = []
    read = reading.read_file
    monkeypatch.setattr(reading, "read_file", lambda path: opened.append(path.name) or read(path))
    sessions = layout.sessions()
    next(sessions)
    assert opened == ["30-input.png", "30-output1.png", "30-mask1.png"]
    next(sessions)
    assert len(opened) == len(set(opened)) == 3 + 7


def test_jpegs_that_the_index_names_are_read(split: Path) -> None:
    put(split / "images" / "30" / "30-output1.jpg", jpeg())
    (split / "images" / "30" / "30-output1.png").unlink()
    turn = {"input": "30-input.png", "output": "30-output1.jpg", "instruction": "darken"}
    change(split, "edit_sessions.json", _30=[turn])
    for name in ("local_descriptions.json", "global_descriptions.json"):
        change(split, name, _30={"30-output1.jpg": "dark fur"})
    (sample,) = next(iter(open_layout("magicbrush", split).sessions()))
    assert sample.target is not None
    assert sample.target.path == "30-output1.jpg"
    assert sample.mask is None


def test_without_files_of_captions_there_are_none(split: Path) -> None:
    (split / "local_descriptions.json").unlink()
    (split / "global_descriptions.json").unlink()
    (sample,) = next(iter(open_layout("magicbrush", split).sessions()))
    assert sample.target_caption is None


def test_a_whole_split_has_no_problems(split: Path) -> None:
    assert wrong(split) == []


def test_everything_wrong_is_listed_at_once(split: Path) -> None:
    images = split / "images"
    (images / "139" / "139-mask2.png").unlink()
    put(images / "30" / "30-output1.png", png()[:300])
    put(images / "9" / "9-mask1.png", see_through((20, 30)))
    put(images / "77" / "77-input.png", png())
    change(split, "local_descriptions.json", _9={"9-output1.png": "fur"})
    assert wrong(split) == [
        "images/77: it is not listed in edit_sessions.json",
        "30/1 target (images/30/30-output1.png): the picture cannot be read: "
        "the picture ends before it is whole",
        "139/2 mask (images/139/139-mask2.png): the file is missing",
        "local_descriptions.json 9: no caption of 9-output2.png",
        f"9/1: the mask is 30 x 20, its source {WIDTH} x {HEIGHT}: "
        "the aspect ratios differ by 12.5%",
    ]


def test_a_gap_between_turns_is_a_problem(split: Path) -> None:
    turns = json.loads((split / "edit_sessions.json").read_text())["139"]
    change(split, "edit_sessions.json", _139=[turns[0], turns[2]])
    assert wrong(split) == [
        "139/2: its input is not the output of the turn before",
        "images/139/139-output2.png: edit_sessions.json has no such turn",
    ]


def test_a_session_without_a_folder_is_a_problem(split: Path) -> None:
    change(split, "edit_sessions.json", _5=[{"input": "a", "output": "b", "instruction": "c"}])
    assert wrong(split) == ["images/5: the session's folder is missing"]


@pytest.mark.parametrize(
    ("turns", "cause"),
    [
        ([], "30: the session has no list of turns"),
        (["darken"], "30/1: the turn has no instruction"),
        (
            [{"input": "../../x.png", "instruction": "darken"}],
            "30/1: the turn has no valid input file",
        ),
    ],
)
def test_a_session_that_is_listed_wrongly_is_a_problem(
    split: Path, turns: object, cause: str
) -> None:
    change(split, "edit_sessions.json", _30=turns)
    assert cause in wrong(split)


def test_an_empty_instruction_is_a_problem(split: Path) -> None:
    turn = {"input": "30-input.png", "output": "30-output1.png", "instruction": " "}
    change(split, "edit_sessions.json", _30=[turn])
    assert wrong(split) == ["30/1: the instruction is empty"]


def test_an_output_of_another_size_than_its_input_is_a_problem(split: Path) -> None:
    put(split / "images" / "30" / "30-output1.png", png(size=(HEIGHT, 30)))
    words = (
        f"the target is 30 x 36, its source {WIDTH} x {HEIGHT}: the aspect ratios differ by 60.0%"
    )
    assert wrong(split) == [f"30/1: {words}"]


def test_an_index_that_is_no_json_is_a_problem(split: Path) -> None:
    put(split / "global_descriptions.json", "{")
    (found,) = wrong(split)
    assert found.startswith("global_descriptions.json: it is not JSON that can be read")


def test_a_session_that_is_listed_twice_is_a_problem(split: Path) -> None:
    text = (split / "edit_sessions.json").read_text()
    put(split / "edit_sessions.json", text.replace('"9"', '"30"'))
    (found,) = wrong(split)
    assert "the key '30' is given twice" in found


def test_who_names_the_folder_of_pictures_is_told_so(split: Path) -> None:
    (problem,) = open_layout("magicbrush", split / "images").problems()
    assert problem.fix == f"give the folder above it, {split}"


def test_who_names_the_folder_of_splits_is_told_so(split: Path) -> None:
    (problem,) = open_layout("magicbrush", split.parent).problems()
    assert problem.fix == "give a split below it: test"


def test_sessions_of_a_faulty_split_are_refused_with_the_first_problems(split: Path) -> None:
    for path in (split / "images").rglob("*-mask*.png"):
        path.unlink()
    with pytest.raises(RecipeError) as caught:
        next(open_layout("magicbrush", split).sessions())
    text = str(caught.value)
    assert text.startswith("6 problems in a data set")
    assert text.count("the file is missing") == 5
    assert "and 1 more" in text
