"""Props: rendered alike at every resolution, with exactly known pixels."""

from __future__ import annotations

import numpy as np
import pytest

from editloop.darkroom.props import KINDS, Prop, body, draw, reach
from editloop.darkroom.textures import TEXTURES
from editloop.schema import Pixels

_GREY = np.full((96, 120, 3), 128, np.uint8)


def _drawn(prop: Prop, picture: Pixels = _GREY) -> Pixels:
    return draw(picture, prop)


@pytest.mark.parametrize("kind", KINDS)
def test_a_prop_changes_pixels_within_its_reach_only(kind: str) -> None:
    prop = Prop(kind, "blue", 0.4, 0.5, 0.4)
    changed = (_drawn(prop) != _GREY).any(axis=-1)
    assert not (changed & ~reach(_GREY.shape, prop)).any()
    assert (body(_GREY.shape, prop) <= reach(_GREY.shape, prop)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_an_opaque_pixel_hides_what_is_behind(kind: str) -> None:
    prop = Prop(kind, "blue", 0.4, 0.5, 0.4)
    opaque = body(_GREY.shape, prop, opaque=True)
    other = np.full_like(_GREY, 20)
    assert opaque.sum() > 200
    assert np.array_equal(_drawn(prop)[opaque], _drawn(prop, other)[opaque])


@pytest.mark.parametrize("kind", KINDS)
def test_a_prop_casts_a_shadow(kind: str) -> None:
    prop = Prop(kind, "blue", 0.4, 0.5, 0.4)
    shadow = reach(_GREY.shape, prop) & ~body(_GREY.shape, prop)
    assert _drawn(prop)[shadow].mean() < 126


@pytest.mark.parametrize("kind", KINDS)
def test_edges_are_smooth(kind: str) -> None:
    prop = Prop(kind, "white", 0.5, 0.5, 0.5)
    soft = body(_GREY.shape, prop) & ~body(_GREY.shape, prop, opaque=True)
    assert soft.sum() > 10


@pytest.mark.parametrize("kind", KINDS)
def test_every_texture_looks_different(kind: str) -> None:
    made = [_drawn(Prop(kind, "blue", 0.5, 0.5, 0.6, texture)) for texture in ("", *TEXTURES)]
    inside = body(_GREY.shape, Prop(kind, "blue", 0.5, 0.5, 0.6))
    for at, first in enumerate(made):
        for second in made[at + 1 :]:
            assert np.abs(first[inside].astype(int) - second[inside]).mean() > 6


def test_a_prop_may_reach_beyond_the_picture() -> None:
    for x, y in ((0.0, 0.0), (1.0, 0.5), (0.5, 1.2), (-3.0, 0.5)):
        assert _drawn(Prop("duck", "yellow", x, y, 0.5)).shape == _GREY.shape


def test_a_prop_is_as_large_as_it_says() -> None:
    ball = body((400, 600), Prop("ball", "red", 0.5, 0.5, 0.25))
    rows, columns = np.nonzero(ball)
    assert np.ptp(rows) + 1 == pytest.approx(100, abs=2)
    assert np.ptp(columns) + 1 == pytest.approx(100, abs=2)
    assert columns.mean() == pytest.approx(299.5, abs=1)


def test_a_prop_looks_the_same_at_every_resolution() -> None:
    def coarse(size: int) -> np.ndarray:
        drawn = draw(np.full((size, size, 3), 128, np.uint8), Prop("mug", "red", 0.5, 0.5, 0.6))
        step = size // 32
        return np.asarray(drawn.reshape(32, step, 32, step, 3).mean(axis=(1, 3)))

    assert np.abs(coarse(128) - coarse(512)).mean() < 2


def test_the_json_of_a_prop_reads_back() -> None:
    prop = Prop("hat", "green", 0.3, 0.4, 0.25, "wood")
    assert Prop.from_json(prop.to_json()) == prop


@pytest.mark.parametrize(
    ("texture", "words"),
    [("", "red ball"), ("stripes", "striped red ball"), ("brick", "brick ball")],
)
def test_a_prop_is_described(texture: str, words: str) -> None:
    assert Prop("ball", "red", 0.5, 0.5, 0.3, texture).description == words
