"""Composed sessions: A to B and A to C give B to C, with exactly these pictures."""

from __future__ import annotations

from pathlib import Path

from editloop.chat.fake.faults import Fault
from editloop.chat.prompts import fenced
from editloop.kernel.steps import Fail, Keep
from editloop.schema import EditSample
from text_worlds import grey, outcomes, reasons, sample

EDITS = [sample(name, target=grey(at), instruction=f"edit {name}") for at, name in enumerate("bcd")]
REPLIES = [{"instruction": "take it back, one"}, {"instruction": "take it back, two"}]


def test_siblings_become_a_session_that_leads_from_target_to_target(tmp_path: Path) -> None:
    found, asked = outcomes(tmp_path, "compose", [*EDITS, sample("x", source=grey(77))], REPLIES)
    assert all(isinstance(each, Keep) for each in found)
    kept = [each.samples for each in found if isinstance(each, Keep)]
    assert [each[0].id for each in kept] == ["b", "c", "d", "x"]
    assert [len(each) for each in kept] == [4, 1, 1, 1]
    first, *later = kept[0][1:]
    by_target = {each.target: each for each in EDITS}
    assert first.source == EDITS[0].source
    assert (first.session, first.turn, first.id) == ("b/session", 1, "b/session/1")
    before: EditSample = first
    for number, turn in enumerate(later, 2):
        assert (turn.source, turn.turn, turn.mask) == (before.target, number, None)
        pair = [by_target[each.target].instruction for each in (before, turn)]
        assert all(fenced(each) in asked[number - 2] for each in pair)
        before = turn
    assert {each.target for each in (first, *later)} == {*by_target}
    assert [each.instruction for each in later] == ["take it back, one", "take it back, two"]


def test_turns_are_limited(tmp_path: Path) -> None:
    found, asked = outcomes(tmp_path, "compose", EDITS, REPLIES, turns=2)
    assert isinstance(found[0], Keep)
    assert (len(found[0].samples), len(asked)) == (3, 1)


def test_a_refused_turn_ends_the_session_and_a_failed_call_is_retried(tmp_path: Path) -> None:
    refused = ["I'm sorry, I can't help with that."]
    found, _ = outcomes(tmp_path / "a", "compose", EDITS, [*REPLIES[:1], *refused])
    assert isinstance(found[0], Keep)
    assert [each.turn for each in found[0].samples[1:]] == [1, 2]
    assert reasons(found[0]) == ["it declines to answer"]
    found, _ = outcomes(tmp_path / "b", "compose", EDITS, refused)
    assert isinstance(found[0], Keep)
    assert found[0].samples == (EDITS[0],)
    assert reasons(found[0]) == ["it declines to answer"] * 2
    found, _ = outcomes(tmp_path / "c", "compose", EDITS, REPLIES, faults=[Fault.ERROR])
    assert {type(each) for each in found} == {Fail}
