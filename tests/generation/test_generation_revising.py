"""Revised instructions: nothing is asked in the first try, and a failed one never comes back."""

from __future__ import annotations

from pathlib import Path

from editloop.kernel.steps import Fail, Keep
from editloop.schema import Provenance
from text_worlds import outcomes, sample

FAILED = [
    {"instruction": "make the cat a dog", "reasons": ["unchanged"]},
    {"instruction": "turn it into a dog", "reasons": ["judged wrong", "shifted"]},
]


def failed(**fields: object) -> Provenance:
    return Provenance("photos", "1", parameters={"failed": FAILED, **fields})


def test_the_first_try_keeps_the_instruction_and_asks_nothing(tmp_path: Path) -> None:
    found, asked = outcomes(tmp_path, "revise", [sample(target=None)], [])
    assert found == [Keep((sample(target=None),))]
    assert asked == []


def test_a_later_try_is_asked_with_what_failed_and_why(tmp_path: Path) -> None:
    reply = {"instruction": "replace the cat on the sofa by a dog"}
    found, asked = outcomes(tmp_path, "revise", [sample(provenance=failed())], [reply])
    assert isinstance(found[0], Keep)
    assert found[0].samples[0].instruction == reply["instruction"]
    assert all(each["instruction"] in asked[0] for each in FAILED)
    assert "judged wrong" in asked[0]


def test_an_instruction_that_failed_is_asked_for_again(tmp_path: Path) -> None:
    replies = [{"instruction": "Turn it into a dog!"}, {"instruction": "put a dog there"}]
    given = [sample(provenance=failed())]
    found, asked = outcomes(tmp_path / "a", "revise", given, replies, re_asks=1)
    assert isinstance(found[0], Keep)
    assert found[0].samples[0].instruction == "put a dog there"
    assert len(asked) == 2
    found, _ = outcomes(tmp_path / "b", "revise", given, replies[:1])
    assert isinstance(found[0], Fail)
