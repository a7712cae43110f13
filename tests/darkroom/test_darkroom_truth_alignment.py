"""Registration: a generator's motion is found, and no false motion is reported."""

from __future__ import annotations

import numpy as np
import pytest
from truth_cases import cases, square

from editloop.darkroom.alignment import STILL, Motion, align, warp
from editloop.darkroom.measures import luminance
from editloop.runtime.seeding import generator

MOTIONS = [
    Motion(0.03125, 0.03125),
    Motion(-0.046875, 0.015625),
    Motion(zoom=1.06),
    Motion(zoom=1.2),
    Motion(0.02, -0.01, 1.1),
]


@pytest.mark.parametrize("size", [64, 200])
@pytest.mark.parametrize("scene", ["astronaut", "coffee", "rocket"])
@pytest.mark.parametrize("motion", MOTIONS, ids=str)
def test_a_motion_is_found(scene: str, motion: Motion, size: int) -> None:
    light = luminance(square(scene, size))
    found = align(light, warp(light, motion), np.ones_like(light))
    assert found.right == pytest.approx(motion.right, abs=0.004)
    assert found.down == pytest.approx(motion.down, abs=0.004)
    assert found.zoom == pytest.approx(motion.zoom, abs=0.01)


def test_a_shift_by_whole_pixels_is_found_exactly() -> None:
    light = luminance(square("coffee", 64))
    assert align(light, warp(light, Motion(3 / 64, 2 / 64)), np.ones_like(light)) == Motion(
        3 / 64, 2 / 64
    )


def test_a_change_of_brightness_is_no_motion() -> None:
    light = luminance(square("coffee", 64))
    assert align(light, light * 0.4 + 90, np.ones_like(light)) == STILL


def test_noise_is_no_motion() -> None:
    light = luminance(square("coffee", 64))
    noise = generator("noise").normal(0, 25, light.shape).astype(np.float32)
    assert align(light, light + noise, np.ones_like(light)) == STILL


def test_a_moved_object_is_no_motion_of_the_picture() -> None:
    """The masked region has no weight."""
    case = next(case for case in cases("astronaut", 64) if case.operation == "move")
    weight = (case.truth.mask == 0).astype(np.float32)
    lights = (luminance(case.truth.source), luminance(case.truth.target))
    assert align(*lights, weight) == STILL


def test_to_stand_still_is_to_stay_the_same() -> None:
    pixels = square("coffee", 64)
    assert warp(pixels, STILL) is pixels


def test_an_enlargement_keeps_the_centre() -> None:
    pixels = np.zeros((65, 65), np.float32)
    pixels[32, 32] = 1
    moved = warp(pixels, Motion(zoom=1.2))
    assert np.unravel_index(moved.argmax(), moved.shape) == (32, 32)
