"""Scenes: the order of layers, rendering and JSON."""

from __future__ import annotations

import numpy as np

from editloop.darkroom.props import Prop
from editloop.darkroom.scene import Darkroom, Look, Scene, render

_BALL = Prop("ball", "red", 0.3, 0.5, 0.3)
_STAR = Prop("star", "blue", 0.7, 0.4, 0.3)
_SEPIA, _SNOW = Look("sepia"), Look("snow", {"seed": 4})
_BLUR = Look("blur-background")


def test_a_new_prop_lies_beneath_light_looks_and_above_others() -> None:
    assert Scene((_SNOW,)).added(_BALL).layers == (_BALL, _SNOW)
    assert Scene((_SEPIA,)).added(_BALL).layers == (_SEPIA, _BALL)
    assert Scene((_BALL, _SNOW)).added(_STAR).layers == (_BALL, _STAR, _SNOW)


def test_a_touched_prop_comes_out_from_under_a_look_that_hides_its_colour() -> None:
    green = Prop("ball", "green", 0.3, 0.5, 0.3)
    assert Scene((_BALL, _SEPIA)).changed("ball", green).layers == (_SEPIA, green)
    assert Scene((_BALL, _STAR, _SNOW)).changed("ball", green).layers == (green, _STAR, _SNOW)


def test_a_moved_prop_keeps_the_looks_over_it() -> None:
    moved = Prop("ball", "red", 0.6, 0.5, 0.2)
    assert Scene((_BALL, _SEPIA)).changed("ball", moved).layers == (moved, _SEPIA)


def test_a_background_goes_behind_every_prop() -> None:
    backed = Scene((_SEPIA, _BALL, _SNOW)).backed(_BLUR)
    assert backed is not None
    assert backed.layers == (_SEPIA, _BLUR, _BALL, _SNOW)


def test_no_background_without_a_prop_or_beneath_a_look_that_would_hide_it() -> None:
    assert Scene((_SEPIA,)).backed(_BLUR) is None
    assert Scene((_BALL, _SEPIA)).backed(_BLUR) is None


def test_the_json_of_a_scene_reads_back() -> None:
    scene = Scene((_SEPIA, _BALL, _SNOW))
    assert Scene.from_json(scene.to_json()) == scene


def test_rendering_leaves_the_photo_alone() -> None:
    photo = np.full((64, 64, 3), 90, np.uint8)
    Darkroom(photo).render(Scene((_BALL, _SEPIA)))
    assert (photo == 90).all()


def test_a_darkroom_renders_as_if_each_scene_were_its_first() -> None:
    photo = np.full((64, 64, 3), 90, np.uint8)
    darkroom = Darkroom(photo)
    for scene in (Scene((_BALL,)), Scene((_BALL, _SNOW)), Scene(), Scene((_BALL,))):
        assert np.array_equal(darkroom.render(scene), render(photo, scene))
