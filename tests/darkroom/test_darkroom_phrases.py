"""Phrases: enough variants, all slots filled, and correct."""

from __future__ import annotations

import pytest

from editloop.darkroom.language.phrases import caption, instruction, inverse, listing, phrases
from editloop.darkroom.operations import OPERATIONS
from editloop.darkroom.plans import draw_turn
from editloop.darkroom.props import Prop
from editloop.darkroom.scene import Look, Scene
from editloop.runtime.seeding import generator
from editloop.schema import EditType


def test_every_operation_has_words_and_no_others_have() -> None:
    assert set(phrases()) == set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_there_are_five_phrasings_and_more(name: str) -> None:
    assert len(set(phrases()[name].ask)) >= 5
    assert phrases()[name].undo


def test_no_phrasing_asks_for_two_operations() -> None:
    every = [template for words in phrases().values() for template in words.ask]
    assert len(every) == len(set(every))


@pytest.mark.parametrize("name", OPERATIONS)
def test_words_are_whole(name: str) -> None:
    for seed in range(12):
        rng = generator("words", name, seed)
        turn = draw_turn(rng, [name])
        assert turn is not None
        for text in (instruction(turn, rng), inverse(turn, rng), caption("a cat", turn.after)):
            assert text == " ".join(text.split())
            assert "{" not in text


def test_a_seed_draws_the_same_words() -> None:
    turn = draw_turn(generator(1), ["recolour"])
    assert turn is not None
    assert instruction(turn, generator(2)) == instruction(turn, generator(2))
    assert len({instruction(turn, generator(seed)) for seed in range(40)}) >= 5


def test_the_inverse_of_a_new_colour_names_the_old_one() -> None:
    turn = draw_turn(generator(1), ["recolour"])
    assert turn is not None
    old = turn.before.prop(turn.edit.parameters["object"])
    assert old is not None
    assert old.colour in inverse(turn, generator(3))


def test_a_caption_names_props_and_looks() -> None:
    ball, box = Prop("ball", "orange", 0.3, 0.5, 0.3), Prop("box", "red", 0.7, 0.5, 0.3, "brick")
    scene = Scene((ball, box, Look("snow", {"seed": 1}), Look("brighter", {"amount": "much"})))
    words = "a cat with an orange ball and a brick box, in falling snow, much brighter"
    assert caption("a cat", scene) == words
    assert caption(None, Scene()) == "a photo"


def test_the_listing_is_by_type_and_has_whole_examples() -> None:
    rows = listing()
    assert [row.name for row in rows if row.edit_type is EditType.REMOVE] == ["remove"]
    assert len(rows) == len(OPERATIONS)
    types = [row.edit_type for row in rows]
    assert types == sorted(types, key=list(EditType).index)
    assert all("{" not in row.example for row in rows)
