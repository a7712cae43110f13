"""Every operation changes the picture, only inside its mask, and always in the same way."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from editloop.darkroom.develop import Rendered, develop
from editloop.darkroom.looks import LOOKS
from editloop.darkroom.operations import OPERATIONS, Edit
from editloop.darkroom.plans import PlannedTurn, draw_turn, wrong_edits
from editloop.darkroom.props import Prop
from editloop.darkroom.scene import Darkroom, Scene
from editloop.darkroom.sessions import VISIBLE, shows
from editloop.images.codec import resize
from editloop.runtime.seeding import generator
from editloop.schema import EditType, Pixels
from editloop.sources.scenes import photo


def _photo(name: str, size: int) -> Pixels:
    picture = photo(name)
    side = min(picture.shape[:2])
    return resize(picture[:side, :side], size, size)


def _turn(name: str, seed: int = 0) -> PlannedTurn:
    turn = draw_turn(generator("operations", name, seed), [name])
    assert turn is not None
    return turn


def _made(name: str, size: int, seed: int = 0, scene: str = "astronaut") -> Rendered:
    return develop(Darkroom(_photo(scene, size)), _turn(name, seed))


def test_there_are_thirty_operations_and_more_over_all_seven_types() -> None:
    assert len(OPERATIONS) >= 30
    assert {operation.edit_type for operation in OPERATIONS.values()} == set(EditType)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("size", [64, 256])
def test_an_operation_shows(name: str, size: int) -> None:
    assert any(shows(_made(name, size, seed)) for seed in range(3))


@pytest.mark.parametrize("name", OPERATIONS)
def test_outside_its_mask_an_operation_changes_nothing(name: str) -> None:
    for seed, size in ((0, 32), (1, 64), (2, 150)):
        made = _made(name, size, seed, "coffee")
        outside = made.mask == 0
        assert np.array_equal(made.source[outside], made.target[outside])


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_deterministic(name: str) -> None:
    first, second = _made(name, 64), _made(name, 64)
    assert np.array_equal(first.target, second.target)
    assert np.array_equal(first.mask, second.mask)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_works_on_wide_and_tall_photos(name: str) -> None:
    for shape in ((40, 97), (97, 40)):
        picture = resize(photo("chelsea"), *shape)
        made = develop(Darkroom(picture), _turn(name))
        assert made.target.shape == picture.shape
        assert made.mask.shape == shape


def test_whole_picture_edits_have_a_white_mask() -> None:
    for name, look in LOOKS.items():
        if look.edit_type in (EditType.GLOBAL, EditType.STYLE):
            assert (_made(name, 48).mask == 255).all()


def test_background_edits_leave_the_props_alone() -> None:
    scene = Scene((Prop("ball", "red", 0.5, 0.5, 0.5),))
    picture = _photo("coffee", 96)
    for name, look in LOOKS.items():
        if look.edit_type is EditType.BACKGROUND:
            said = {key: values[0] for key, values in look.space.items()}
            edit = Edit(name, said)
            after = edit.apply(scene)
            assert after is not None
            made = develop(Darkroom(picture), PlannedTurn(scene, edit, after))
            assert (made.mask[40:56, 40:56] == 0).all()
            assert (made.mask[:10] == 255).all()


def test_the_mask_of_a_new_colour_is_the_object_without_its_shadow() -> None:
    scene = Scene((Prop("box", "red", 0.5, 0.5, 0.4),))
    picture = _photo("coffee", 128)

    def mask(edit: Edit) -> np.ndarray:
        after = edit.apply(scene)
        assert after is not None
        return develop(Darkroom(picture), PlannedTurn(scene, edit, after)).mask > 0

    recoloured = mask(Edit("recolour", {"object": "box", "colour": "blue"}))
    removed = mask(Edit("remove", {"object": "box"}))
    assert (removed | recoloured == removed).all()
    assert removed.sum() > 1.1 * recoloured.sum()


def test_moving_covers_the_old_place_and_the_new() -> None:
    scene = Scene((Prop("ball", "red", 0.25, 0.6, 0.3),))
    edit = Edit("move", {"object": "ball", "direction": "right"})
    after = edit.apply(scene)
    assert after is not None
    mask = develop(Darkroom(_photo("coffee", 100)), PlannedTurn(scene, edit, after)).mask
    assert mask[60, 25] == 255
    assert mask[60, 57] == 255


def test_looks_differ_from_one_another_at_64_pixels() -> None:
    picture = _photo("astronaut", 64)
    said = {"amount": "normal", "colour": "blue", "surface": "brick", "sky": "blue"}
    made = {}
    for name, look in LOOKS.items():
        parameters = {key: said[key] for key in look.space} | ({"seed": 1} if look.seeded else {})
        made[name] = look(picture, parameters).astype(int)
    for first, second in itertools.combinations(made, 2):
        assert np.abs(made[first] - made[second]).mean() > VISIBLE, (first, second)


@pytest.mark.parametrize("name", [name for name, look in LOOKS.items() if not look.seeded])
def test_a_look_means_the_same_at_another_resolution(name: str) -> None:
    """Compare coarse tones; the grain of line screens and large pixels is averaged out."""
    look = LOOKS[name]
    said = {key: values[0] for key, values in look.space.items()}
    coarse = [
        resize(look(_photo("astronaut", size), said), 8, 8).astype(int) for size in (128, 256)
    ]
    assert np.abs(coarse[0] - coarse[1]).mean() < 9


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_wrong_edit_starts_from_the_same_scene_and_ends_elsewhere(name: str) -> None:
    for seed in range(3):
        turn = _turn(name, seed)
        for wrong in wrong_edits(turn, generator("wrong", seed)).values():
            assert wrong.before == turn.before
            assert wrong.after != turn.after


def test_every_type_but_removal_has_a_wrong_attribute() -> None:
    for name, operation in OPERATIONS.items():
        found = wrong_edits(_turn(name), generator("wrong"))
        assert ("attribute" in found) == (operation.edit_type is not EditType.REMOVE)


def test_an_impossible_edit_is_none() -> None:
    scene = Scene((Prop("ball", "red", 0.16, 0.5, 0.3),))
    for edit in (
        Edit("recolour", {"object": "ball", "colour": "red"}),
        Edit("recolour", {"object": "star", "colour": "blue"}),
        Edit("move", {"object": "ball", "direction": "left"}),
        Edit("add", {"object": "ball", "colour": "blue", "place": "", "seed": 1}),
        Edit("replace", {"object": "star", "new": "mug", "colour": "blue"}),
    ):
        assert edit.apply(scene) is None
    assert Edit("blur-background").apply(Scene()) is None
