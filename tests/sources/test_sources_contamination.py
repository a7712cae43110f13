"""Matches with test sets are found, recorded or dropped; inverse edits are added."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from editloop.errors import RecipeError
from editloop.images.codec import encode_jpeg, encode_png
from editloop.kernel.steps import Drop, Keep, StepContext
from editloop.schema import EditSample, Image, Provenance, Score
from editloop.sources.contamination import ContaminationStep, found_in
from editloop.sources.hashes import hash_samples, perceptual_hash, write_hashes
from editloop.sources.inverse import InverseEdits, InverseEditsSettings
from layout_folders import magicbrush, picture, png

TESTED = EditSample(
    "t",
    Image(png("chelsea")),
    "make the cat purple",
    Image(png("coffee")),
    inverse_instruction="back",
)
CLEAN = EditSample(
    "c", Image(png("rocket")), "add a hat", Image(png("china")), provenance=Provenance("x", "1")
)


def step(folder: Path, **settings: Any) -> ContaminationStep:
    """Return the step, set up with a file that lists one edit."""
    write_hashes(hash_samples("tests", [TESTED]), folder / "list.json")
    settings = {"against": (str(folder / "list.json"),), **settings}
    made = ContaminationStep(ContaminationStep.Settings(**settings))
    made.setup(StepContext(0, "train", folder / "cache"))
    return made


def note(folder: Path, sample: EditSample) -> Any:
    (outcome,) = step(folder).process([sample])
    assert isinstance(outcome, Keep)
    made = outcome.samples[0].provenance
    return None if made is None else made.parameters.get("contamination")


def test_a_sample_of_its_own_is_left_as_it_is(tmp_path: Path) -> None:
    assert step(tmp_path).process([CLEAN]) == [Keep((CLEAN,))]


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"instruction": "Make the cat PURPLE!"}, ["instruction"]),
        ({"inverse_instruction": "make the cat purple"}, ["instruction"]),
        ({"source": TESTED.source}, ["source"]),
        ({"target": TESTED.target}, ["target"]),
        ({"source": Image(encode_jpeg(picture("chelsea"), 75))}, ["source"]),
        ({"source": TESTED.source, "instruction": TESTED.instruction}, ["instruction", "source"]),
        ({"source": TESTED.target, "target": TESTED.source}, None),
    ],
)
def test_what_is_shared_is_noted(tmp_path: Path, fields: dict[str, Any], found: Any) -> None:
    due = None if found is None else {"tests": found}
    assert note(tmp_path, replace(CLEAN, **fields)) == due


def test_the_distance_says_how_alike_pictures_must_be(tmp_path: Path) -> None:
    shifted = picture("chelsea")[3:]
    hashes = [perceptual_hash(each) or 0 for each in (picture("chelsea"), shifted)]
    apart = (hashes[0] ^ hashes[1]).bit_count()
    assert apart
    sample = replace(CLEAN, source=Image(encode_png(shifted)))
    found = [step(tmp_path, distance=each).process([sample]) for each in (apart - 1, apart)]
    assert [each == [Keep((sample,))] for each in found] == [True, False]


def test_what_is_found_is_dropped_with_that_reason(tmp_path: Path) -> None:
    kept, dropped = step(tmp_path, drop=True).process([CLEAN, replace(CLEAN, source=TESTED.source)])
    assert kept == Keep((CLEAN,))
    assert dropped == Drop('contaminated: {"tests":["source"]}')
    assert found_in('contaminated: {"tests":["source"]}') == {"tests": ["source"]}
    assert found_in("too small") is None


def test_a_set_on_this_machine_is_hashed_once(tmp_path: Path) -> None:
    folder = magicbrush(tmp_path / "MagicBrush", {"30": 2})
    made = step(tmp_path, against=(f"magicbrush:{folder}",))
    (path,) = (tmp_path / "cache").iterdir()
    path.touch()
    before = path.stat().st_mtime_ns
    ContaminationStep(ContaminationStep.Settings(against=(f"magicbrush:{folder}",))).prepare(
        tmp_path / "cache"
    )
    assert path.stat().st_mtime_ns == before
    (outcome,) = made.process([replace(CLEAN, instruction="make it darker by 2")])
    assert isinstance(outcome, Keep)
    assert outcome.samples[0].provenance is not None
    assert outcome.samples[0].provenance.parameters == {
        "contamination": {"magicbrush": ["instruction"]}
    }


def test_another_list_is_another_version(tmp_path: Path) -> None:
    made = step(tmp_path)
    before = made.parameters
    write_hashes(hash_samples("tests", [CLEAN]), tmp_path / "list.json")
    assert made.parameters != before


def test_a_test_set_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such test set"):
        step(tmp_path, against=("gone.json",))


def test_two_test_sets_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="the same name"):
        step(tmp_path, against=(str(tmp_path / "list.json"),) * 2)


def test_a_way_back_is_an_edit_of_its_own() -> None:
    sample = replace(
        TESTED,
        source_caption="a cat",
        target_caption="coffee",
        scores={"ssim": Score(0.5)},
        mask=Image(png()),
    )
    (outcome,) = InverseEdits(InverseEditsSettings()).process([sample])
    assert isinstance(outcome, Keep)
    same, back = outcome.samples
    assert same == sample
    assert (back.id, back.instruction, back.inverse_instruction) == (
        "t/inverse",
        "back",
        "make the cat purple",
    )
    assert (back.source, back.target, back.mask) == (sample.target, sample.source, sample.mask)
    assert (back.source_caption, back.target_caption, back.scores) == ("coffee", "a cat", {})


@pytest.mark.parametrize("fields", [{"inverse_instruction": " "}, {"target": None}])
def test_an_edit_without_a_way_back_stays_alone(fields: dict[str, Any]) -> None:
    sample = replace(TESTED, **fields)
    assert InverseEdits(InverseEditsSettings()).process([sample]) == [Keep((sample,))]
