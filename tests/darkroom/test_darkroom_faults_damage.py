"""The pixels that each fault changes, and those that it must not change."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from truth_cases import square

from editloop.darkroom import damage
from editloop.runtime.seeding import generator
from editloop.schema import Mask, Pixels

Damage = Callable[[Pixels, Mask, float], Pixels]
SIDES = (64, 200)


def _mask(size: int) -> Mask:
    mask = np.zeros((size, size), np.uint8)
    mask[size // 4 : size // 2, size // 4 : size // 2] = 255
    return mask


def _noise(pixels: Pixels, _: Mask, severity: float) -> Pixels:
    return damage.noise(pixels, severity, generator("noise"))


ALL: dict[str, Damage] = {
    "colour_cast": damage.colour_cast,
    "blur": damage.blur,
    "shift": damage.shift,
    "zoom": damage.zoom,
    "blocks": damage.blocks,
    "banding": damage.banding,
    "halo": damage.halo,
    "ringing": damage.ringing,
    "noise": _noise,
}


@pytest.mark.parametrize("size", SIDES)
@pytest.mark.parametrize("kind", list(ALL))
def test_more_severity_changes_more(kind: str, size: int) -> None:
    pixels = square("coffee", size)
    changes = [
        float(np.abs(ALL[kind](pixels, _mask(size), severity).astype(int) - pixels).mean())
        for severity in (0.2, 0.6, 1.0)
    ]
    assert 0 < changes[0] < changes[1] < changes[2]


@pytest.mark.parametrize("size", SIDES)
@pytest.mark.parametrize("kind", ["colour_cast", "blur", "halo"])
def test_what_disturbs_the_outside_leaves_the_inside(kind: str, size: int) -> None:
    pixels, mask = square("coffee", size), _mask(size)
    edited = ALL[kind](pixels, mask, 1.0)
    assert np.array_equal(edited[mask > 0], pixels[mask > 0])


def test_a_blur_does_not_carry_the_inside_out() -> None:
    mask = _mask(64)
    pixels = np.full((64, 64, 3), 100, np.uint8)
    pixels[mask > 0] = 255
    assert (damage.blur(pixels, mask, 1.0)[mask == 0] == 100).all()


def test_a_cast_is_the_same_everywhere() -> None:
    pixels = np.full((64, 64, 3), 120, np.uint8)
    change = damage.colour_cast(pixels, np.zeros((64, 64), np.uint8), 0.5).astype(int) - pixels
    assert np.ptp(change.reshape(-1, 3), axis=0).max() == 0
    assert change[0, 0, 0] > 0 > change[0, 0, 1]


def test_a_shift_moves_by_whole_pixels() -> None:
    pixels = square("coffee", 64)
    edited = damage.shift(pixels, _mask(64), 0.6)
    assert np.array_equal(edited[2:, 2:], pixels[:-2, :-2])


def test_a_zoom_shows_the_middle() -> None:
    pixels = square("coffee", 64)
    edited = damage.zoom(pixels, _mask(64), 1.0)
    middle = cv2.resize(pixels[6:58, 6:58], (64, 64), interpolation=cv2.INTER_LINEAR)
    off, still = (np.abs(other.astype(int) - middle).mean() for other in (edited, pixels))
    assert off < 0.3 * still


@pytest.mark.parametrize("size", [64, 75])
def test_blocks_keep_colour_and_each_blocks_mean(size: int) -> None:
    pixels = np.clip(square("coffee", size), 60, 190)
    edited = damage.blocks(pixels, _mask(size), 1.0)
    before, after = (cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb) for image in (pixels, edited))
    assert np.abs(after[..., 1:].astype(int) - before[..., 1:]).mean() < 1
    whole = size // 8 * 8
    means = [
        image[:whole, :whole, 0].reshape(whole // 8, 8, whole // 8, 8).mean((1, 3))
        for image in (before, after)
    ]
    assert np.abs(means[0] - means[1]).max() < 1.5


def test_banding_leaves_few_levels() -> None:
    assert len(np.unique(damage.banding(square("coffee", 64), _mask(64), 1.0))) <= 11


def test_a_halo_is_bright_and_hugs_the_mask() -> None:
    pixels = np.full((64, 64, 3), 100, np.uint8)
    change = damage.halo(pixels, _mask(64), 1.0).astype(int) - pixels
    assert change[15, 20].min() > 40
    assert change.min() == 0
    assert change[:10].max() == 0


def test_ringing_leaves_flat_areas() -> None:
    pixels = np.full((64, 64, 3), 50, np.uint8)
    pixels[:, 32:] = 150
    change = np.abs(damage.ringing(pixels, _mask(64), 0.6).astype(int) - pixels).max(-1)
    assert change[:, 26:38].max() > 10
    assert change[:, :12].max() == 0


def test_noise_has_no_mean_and_the_same_strength_at_all_sizes() -> None:
    for size in SIDES:
        pixels = np.full((size, size, 3), 128, np.uint8)
        change = _noise(pixels, _mask(size), 1.0).astype(float) - pixels
        assert abs(change.mean()) < 0.5
        assert change.std() == pytest.approx(16, rel=0.05)
