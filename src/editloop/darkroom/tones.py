"""Looks that change only the tone and colour of each pixel, some depending on its position."""

from __future__ import annotations

import cv2
import numpy as np

from editloop.darkroom.fields import curve, floats, grey, grid, merge, saturate, split, vignette
from editloop.schema import Pixels

__all__ = [
    "AMOUNTS",
    "black_and_white",
    "brighter",
    "cooler",
    "cyanotype",
    "dark_corners",
    "darker",
    "faded",
    "golden_hour",
    "more_contrast",
    "negative",
    "night",
    "sepia",
    "vintage",
    "vivid",
    "warmer",
]

AMOUNTS = {"normal": 1.0, "slightly": 0.55, "much": 1.6}


def black_and_white(picture: Pixels) -> Pixels:
    """Convert to luminance, with a little more contrast."""
    return curve(merge(grey(picture)), (0, 0.25, 0.5, 0.75, 1), (0, 0.21, 0.5, 0.79, 1))


def sepia(picture: Pixels) -> Pixels:
    """Tone luminance from dark brown to warm cream."""
    return _toned(picture, ((26, 14, 6), (150, 104, 60), (255, 238, 204)))


def cyanotype(picture: Pixels) -> Pixels:
    """Tone luminance from Prussian blue to white, as in a blueprint."""
    return _toned(picture, ((4, 20, 66), (44, 108, 176), (236, 246, 255)))


def _toned(picture: Pixels, tones: tuple[tuple[int, int, int], ...]) -> Pixels:
    light = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    stops = np.linspace(0, 255, len(tones))
    table = np.stack(
        [np.interp(np.arange(256), stops, [tone[i] for tone in tones]) for i in range(3)], axis=-1
    )
    return np.asarray(np.round(table).astype(np.uint8)[light])


def brighter(picture: Pixels, amount: str) -> Pixels:
    """Raise the exposure, with highlights rolled off."""
    gain = 1 + 0.75 * AMOUNTS[amount]
    values = np.linspace(0, 1, 64)
    return curve(picture, values.tolist(), (1 - (1 - values) ** gain).tolist())


def darker(picture: Pixels, amount: str) -> Pixels:
    """Lower the exposure."""
    gain = 1 - 0.5 * AMOUNTS[amount] ** 0.7
    values = np.linspace(0, 1, 64)
    return curve(picture, values.tolist(), (gain * values**1.15).tolist())


def more_contrast(picture: Pixels, amount: str) -> Pixels:
    """Apply an S-curve around middle grey."""
    slope = 5 * AMOUNTS[amount] + 2.4
    values = np.linspace(0, 1, 64)
    bend = 1 / (1 + np.exp(-slope * (values - 0.5)))
    low, high = bend[0], bend[-1]
    return curve(picture, values.tolist(), ((bend - low) / (high - low)).tolist())


def faded(picture: Pixels, amount: str) -> Pixels:
    """Wash out contrast and colour towards light grey."""
    strength = 0.52 * AMOUNTS[amount] ** 0.6
    values = saturate(split(picture), 1 - 0.7 * strength)
    return merge(values + (0.66 - values) * strength)


def warmer(picture: Pixels, amount: str) -> Pixels:
    """Shift the white balance towards orange."""
    return _balanced(picture, 0.24 * AMOUNTS[amount])


def cooler(picture: Pixels, amount: str) -> Pixels:
    """Shift the white balance towards blue."""
    return _balanced(picture, -0.24 * AMOUNTS[amount])


def _balanced(picture: Pixels, shift: float) -> Pixels:
    gains = floats((1 + shift, 1 + 0.1 * shift, 1 - 1.15 * shift))
    offset = floats((0.09, 0.012, -0.07)) * shift
    return merge(split(picture) * gains + offset)


def vivid(picture: Pixels, amount: str) -> Pixels:
    """Raise the saturation."""
    return merge(saturate(split(picture), 1 + 1.1 * AMOUNTS[amount]))


def negative(picture: Pixels) -> Pixels:
    """Invert every channel."""
    return np.asarray(255 - picture, np.uint8)


def night(picture: Pixels) -> Pixels:
    """Turn day into night: dark, blue, little colour, darker towards the edges."""
    values = np.clip(saturate(split(picture), 0.4), 0, 1) ** 1.35
    values *= floats((0.3, 0.4, 0.68)) * vignette(picture, 0.45)
    return merge(values + floats((0.0, 0.008, 0.045)))


def golden_hour(picture: Pixels) -> Pixels:
    """Add a low sun from the upper right: warm light, long glow, purple shadows."""
    x, y = grid(picture)
    glow = np.exp(-(((x - 1) / 0.75) ** 2 + ((y - 0.12) / 0.65) ** 2))[..., None]
    values = split(picture)
    values = values * floats((1.02, 0.78, 0.5)) + floats((0.075, 0.02, 0.06))
    sun = glow * floats((0.78, 0.46, 0.13))
    return merge(1 - (1 - np.clip(values, 0, 1)) * (1 - sun))


def vintage(picture: Pixels) -> Pixels:
    """Imitate an old print: lifted blacks, yellowed lights, teal shadows, dark corners."""
    values = saturate(split(picture), 0.62)
    light = values.mean(axis=-1, keepdims=True)
    tone = floats((0.08, 0.14, 0.17)) * (1 - light) + floats((0.06, 0.0, -0.2)) * light
    return merge((values * 0.82 + 0.07 + tone) * vignette(picture, 0.6))


def dark_corners(picture: Pixels) -> Pixels:
    """Add a strong vignette."""
    return merge(split(picture) * vignette(picture, 0.97))
