"""Sessions: every turn is exact, visible, and starts from the previous picture."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from editloop.darkroom.develop import Rendered
from editloop.darkroom.operations import OPERATIONS
from editloop.darkroom.scene import Darkroom
from editloop.darkroom.sessions import draw_session, shows
from editloop.images.codec import resize
from editloop.schema import EditType, Pixels
from editloop.sources.scenes import SCENES, photo


def _photo(number: int) -> Pixels:
    names = list(SCENES)
    height, width = ((48, 48), (40, 75), (90, 64))[number % 3]
    return resize(photo(names[number % len(names)]), height, width)


@pytest.mark.parametrize("seed", range(16))
def test_every_turn_of_a_session_is_exact(seed: int) -> None:
    session = draw_session(Darkroom(_photo(seed)), tuple(OPERATIONS), 4, seed)
    assert len(session) == 4
    for _, rendered in session:
        outside = rendered.mask == 0
        assert np.array_equal(rendered.source[outside], rendered.target[outside])
        assert shows(rendered)
    for (earlier, before), (later, after) in pairwise(session):
        assert later.before == earlier.after
        assert np.array_equal(before.target, after.source)


@pytest.mark.parametrize("seed", range(8))
def test_local_masks_stay_local(seed: int) -> None:
    for turn, rendered in draw_session(Darkroom(_photo(seed)), tuple(OPERATIONS), 4, seed):
        if turn.edit_type not in (EditType.GLOBAL, EditType.STYLE, EditType.BACKGROUND):
            assert (rendered.mask > 0).mean() < 0.6


def test_no_operation_comes_twice_and_a_short_list_ends_the_session() -> None:
    session = draw_session(Darkroom(_photo(0)), ("sepia", "night"), 4, 3)
    assert sorted(turn.edit.operation for turn, _ in session) == ["night", "sepia"]


def test_a_session_has_two_props_at_most_and_of_different_kinds() -> None:
    for seed in range(10):
        for turn, _ in draw_session(Darkroom(_photo(seed)), ("add", "move", "replace"), 3, seed):
            kinds = [prop.kind for prop in turn.after.props]
            assert len(kinds) <= 2
            assert len(set(kinds)) == len(kinds)


def test_an_edit_without_a_change_does_not_show() -> None:
    picture = _photo(0)
    whole, none = (np.full(picture.shape[:2], value, np.uint8) for value in (255, 0))
    assert not shows(Rendered(picture, picture, whole))
    assert not shows(Rendered(picture, picture, none))
