"""Parsing: all own phrases, most free wordings, and nothing that cannot be executed."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from editloop.darkroom.language.parsed_instruction import ParsedInstruction
from editloop.darkroom.language.parsing import parse
from editloop.darkroom.language.phrases import instruction, phrases
from editloop.darkroom.operations import OPERATIONS, PLACES, Edit
from editloop.darkroom.plans import draw_turn
from editloop.errors import InstructionError
from editloop.runtime.seeding import generator

_HERE = Path(__file__).parent


def _lines(name: str) -> list[str]:
    text = (_HERE / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _said(edit: Edit) -> ParsedInstruction:
    """Return the expected parse of an edit's instruction: everything except its seed."""
    parameters = {key: value for key, value in edit.parameters.items() if key != "seed"}
    thing = parameters.pop("object", None)
    return ParsedInstruction(edit.operation, parameters, thing)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
def test_its_own_phrasings_read_back(name: str) -> None:
    seen = set()
    for seed in range(60):
        rng = generator("round trip", name, seed)
        turn = draw_turn(rng, [name])
        assert turn is not None
        words = instruction(turn, rng)
        assert parse(words) == (_said(turn.edit),), words
        seen.add(words)
    assert len(seen) >= len(phrases()[name].ask)


def _paraphrases() -> list[tuple[str, str, dict[str, str]]]:
    rows = []
    for line in _lines("paraphrases.txt"):
        text, operation, said = (part.strip() for part in line.split("|"))
        pairs = (pair.strip().split("=") for pair in said.split(",") if pair.strip())
        rows.append((text, operation, dict(pairs)))
    return rows


def _understood(text: str, operation: str, said: dict[str, str]) -> bool:
    try:
        asked = parse(text)
    except InstructionError:
        return False
    thing = {} if asked[0].object is None else {"object": asked[0].object}
    return len(asked) == 1 and (asked[0].operation, {**asked[0].parameters, **thing}) == (
        operation,
        said,
    )


def test_nine_of_ten_paraphrases_are_understood_with_their_parameters() -> None:
    rows = _paraphrases()
    assert len(rows) >= 60
    missed = [row for row in rows if not _understood(*row)]
    assert len(missed) <= 0.1 * len(rows), missed


def test_paraphrases_cover_every_operation_and_none_is_its_own_phrasing() -> None:
    rows = _paraphrases()
    assert {operation for _, operation, _ in rows} == set(OPERATIONS)
    own = set()
    for name in OPERATIONS:
        for seed in range(60):
            rng = generator("own", name, seed)
            turn = draw_turn(rng, [name])
            assert turn is not None
            own.add(instruction(turn, rng))
    fixed = {template for words in phrases().values() for template in words.ask}
    assert not {text.lower() for text, _, _ in rows} & {text.lower() for text in own | fixed}


@pytest.mark.parametrize("text", _lines("refusals.txt"))
def test_what_it_cannot_do_is_not_read_as_something_else(text: str) -> None:
    with contextlib.suppress(InstructionError):
        # or parsed, but only for an object that needs a mask: no known prop is edited
        assert all(item.object and item.operation != "add" for item in parse(text))


def test_clauses_are_done_one_after_the_other() -> None:
    assert parse("make it sepia and add a red ball") == (
        ParsedInstruction("sepia"),
        ParsedInstruction("add", {"place": "", "colour": "red"}, "ball"),
    )


def test_no_clause_is_passed_over() -> None:
    with pytest.raises(InstructionError):
        parse("make it sepia and give her a haircut")
    assert parse("keep the cat and blur the background") == (ParsedInstruction("blur-background"),)


def test_it_is_the_last_clauses_object() -> None:
    first, second = parse("add a red ball on the left, then make it bigger")
    assert (first.operation, first.parameters["place"]) == ("add", PLACES[0])
    assert second == ParsedInstruction("enlarge", {}, "ball")


def test_slips_and_american_spelling_are_forgiven() -> None:
    assert parse("make it brigther") == parse("make it brighter")
    assert parse("blur the backgroud") == parse("blur the background")
    assert parse("colorize the hat gray") == parse("colour the hat grey")


def test_unknown_objects_keep_their_name() -> None:
    (asked,) = parse("make the lady's coat green")
    assert asked == ParsedInstruction("recolour", {"colour": "green"}, "lady coat")
    assert parse("make it red") == (ParsedInstruction("recolour", {"colour": "red"}, ""),)


@pytest.mark.parametrize("text", ["make the red ball blue and bigger", "make it a snowy night"])
def test_two_things_at_once_are_not_half_done(text: str) -> None:
    with pytest.raises(InstructionError, match="two"):
        parse(text)


def test_a_refusal_says_what_it_can_do() -> None:
    with pytest.raises(InstructionError, match="blur the background") as caught:
        parse("deblur the background")
    assert "editloop operations" in str(caught.value)
