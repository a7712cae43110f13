"""Looks that redraw the whole picture in an artistic style."""

from __future__ import annotations

import cv2
import numpy as np

from editloop.darkroom.fields import (
    Floats,
    blur,
    clouds,
    curve,
    flatten,
    floats,
    grey,
    grid,
    merge,
    nearest_seeds,
    saturate,
    short_side,
    split,
)
from editloop.schema import Pixels

__all__ = [
    "cartoon",
    "engraving",
    "halftone",
    "neon",
    "oil_painting",
    "pencil_sketch",
    "pixel_art",
    "pointillism",
    "poster",
    "stained_glass",
    "watercolour",
]

_PAPER = floats((0.965, 0.945, 0.9))


def pencil_sketch(picture: Pixels) -> Pixels:
    """Draw graphite on paper: lines by colour dodge, hatching in the shadows."""
    light = grey(picture)
    inverse = np.asarray(blur(1 - light, 0.014), np.float32)
    lines = np.clip(light / np.maximum(1 - inverse, 0.02), 0, 1) ** 3.2
    x, y = _pixels(picture)
    period = max(3.0, 0.011 * short_side(picture))
    hatch = 0.5 + 0.5 * np.sin((x + y) * (2 * np.pi / period))
    shadow = np.clip((0.52 - np.asarray(blur(light, 0.006), np.float32)) / 0.52, 0, 1)
    tone = 1 - shadow * (0.3 + 0.42 * hatch)
    return merge((lines * tone)[..., None] * _PAPER * 0.94 + 0.05)


def oil_painting(picture: Pixels) -> Pixels:
    """Paint flat dabs of rich colour with relief: Kuwahara twice, lit from the upper left."""
    radius = max(2, round(0.0095 * short_side(picture)))
    dabs = flatten(flatten(picture, radius), radius)
    values = saturate(split(dabs), 1.45)
    # bristles run along a slow flow field and catch the light
    flow = clouds(picture, "bristles", cells=3, octaves=2) * 7
    x, y = _pixels(picture)
    scale = 2 * np.pi / max(4.0, 0.014 * short_side(picture))
    bristle = np.sin((x * np.sin(flow) + y * np.cos(flow)) * scale) * 0.035
    height = np.asarray(blur(grey(dabs), 0.002), np.float32)
    step = max(1, round(0.003 * short_side(picture)))
    relief = height - np.roll(height, (step, step), axis=(0, 1))
    relief[:step], relief[:, :step] = 0, 0
    lit = values * (1 + bristle[..., None]) + 0.55 * relief[..., None]
    return curve(merge(lit), (0, 0.25, 0.5, 0.75, 1), (0, 0.2, 0.52, 0.82, 1))


def cartoon(picture: Pixels) -> Pixels:
    """Reduce to few flat, bright tones inside black outlines."""
    short = short_side(picture)
    flat = flatten(picture, max(2, round(0.01 * short)))
    hsv = cv2.cvtColor(flat, cv2.COLOR_RGB2HSV).astype(np.float32)
    steps = 5
    hsv[..., 2] = (np.floor(hsv[..., 2] / 256 * steps) + 0.75) / steps * 255
    hsv[..., 1] = hsv[..., 1] * 1.5
    colours = cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB)
    light = np.asarray(blur(grey(flat), 0.003), np.float32)
    around = np.asarray(blur(light, 0.012), np.float32)
    outline = np.clip((around - light - 0.022) / 0.03, 0, 1)
    return merge(split(colours) * (1 - outline[..., None]))


def pixel_art(picture: Pixels) -> Pixels:
    """Reduce to large square pixels in a small palette: six levels per channel."""
    height, width = picture.shape[:2]
    cell = max(3.0, short_side(picture) / 26)
    size = (max(2, round(width / cell)), max(2, round(height / cell)))
    small = split(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    small = np.round(np.clip(saturate(small, 1.35), 0, 1) * 5) / 5
    return np.asarray(cv2.resize(merge(small), (width, height), interpolation=cv2.INTER_NEAREST))


def poster(picture: Pixels) -> Pixels:
    """Posterise to three levels per channel, with clean edges."""
    smooth = flatten(picture, max(1, round(0.006 * short_side(picture))))
    values = np.clip(saturate(split(smooth), 1.5), 0, 1)
    return merge(np.clip(np.floor(values * 3), 0, 2) / 2 * 0.94 + 0.03)


def watercolour(picture: Pixels) -> Pixels:
    """Paint pale washes with darker edges, on grained paper with a white border."""
    short = short_side(picture)
    flat = flatten(picture, max(2, round(0.008 * short)))
    values = np.clip(saturate(split(flat), 1.3), 0, 1) ** 0.62
    edges = np.abs(cv2.Laplacian(np.asarray(blur(grey(flat), 0.004), np.float32), cv2.CV_32F))
    pool = clouds(picture, "wash", cells=5, octaves=4)
    # scale the second derivative to the short side: pools are equally dark at every resolution
    edges *= 0.8 * (short / 128) ** 2
    values *= 1 - np.clip(edges, 0, 0.3)[..., None]
    values += (1 - values) * (0.5 * np.clip(pool - 0.35, 0, 1))[..., None]
    grain = clouds(picture, "grain", cells=48, octaves=2)
    values += (grain[..., None] - 0.5) * 0.09
    x, y = grid(picture)
    rim = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y)) + 0.09 * (pool - 0.5)
    bare = np.clip((0.055 - rim) / 0.03, 0, 1)[..., None]
    return merge(values + (floats((0.985, 0.98, 0.965)) - values) * bare)


def halftone(picture: Pixels) -> Pixels:
    """Print as a comic: flat bright inks under a screen of black dots at 45 degrees."""
    short = short_side(picture)
    cell = max(4.0, short / 64)
    x, y = _pixels(picture)
    turn = 0.5**0.5 / cell
    across, down = (x + y) * turn % 1 - 0.5, (x - y) * turn % 1 - 0.5
    distance = np.sqrt(across**2 + down**2)
    light = np.asarray(blur(grey(picture), 0.5 / 64), np.float32)
    radius = 0.66 * np.sqrt(np.clip(0.86 - light, 0, 1))
    dots = np.clip((radius - distance) * cell + 0.5, 0, 1)[..., None]
    inks = saturate(split(flatten(picture, max(1, round(0.008 * short)))), 1.9)
    inks = np.round(np.clip(0.42 + 0.68 * inks, 0, 1) * 4) / 4 * _PAPER
    return merge(inks * (1 - dots) + 0.06 * dots)


def stained_glass(picture: Pixels) -> Pixels:
    """Fill panes with pure colours between dark leads."""
    short = short_side(picture)
    labels, _, places = nearest_seeds(picture, max(6.0, short / 15), "glass")
    counts = np.maximum(np.bincount(labels.ravel(), minlength=len(places)), 1)
    values = split(picture)
    panes = np.stack(
        [
            np.bincount(labels.ravel(), values[..., i].ravel(), len(places)) / counts
            for i in range(3)
        ],
        axis=-1,
    ).astype(np.float32)
    panes = np.clip(saturate(panes, 2.1) * 1.12 + 0.02, 0, 1)
    lead = np.zeros(labels.shape, np.uint8)
    lead[:, 1:] |= np.where(labels[:, 1:] != labels[:, :-1], 255, 0).astype(np.uint8)
    lead[1:] |= np.where(labels[1:] != labels[:-1], 255, 0).astype(np.uint8)
    width = max(1, round(0.0075 * short))
    lead = cv2.dilate(lead, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
    soft = np.asarray(blur(split(lead), 0.0015), np.float32)[..., None]
    glow = 0.82 + 0.36 * clouds(picture, "pane", cells=24, octaves=2)[..., None]
    return merge(panes[labels] * glow * (1 - soft) + 0.05 * soft)


def neon(picture: Pixels) -> Pixels:
    """Draw glowing outlines, coloured by their direction, in the dark."""
    light = np.asarray(blur(grey(picture), 0.005), np.float32)
    across = cv2.Sobel(light, cv2.CV_32F, 1, 0)
    down = cv2.Sobel(light, cv2.CV_32F, 0, 1)
    # scale the gradient to the short side: edges are equally strong at every resolution
    power = np.hypot(across, down) * (short_side(picture) / 64)
    edge = np.clip(power * 0.62, 0, 1) ** 0.8
    hue = np.arctan2(down, across)
    colour = np.stack([0.5 + 0.5 * np.cos(hue + turn) for turn in (0.4, 3.0, 5.2)], axis=-1)
    colour = np.clip(colour.astype(np.float32) * 1.25 + 0.12, 0, 1) * edge[..., None]
    glow = np.asarray(blur(colour, 0.018), np.float32)
    dark = split(picture) * floats((0.1, 0.07, 0.16)) + floats((0.02, 0.01, 0.05))
    return merge(dark + colour + 1.1 * glow)


def pointillism(picture: Pixels) -> Pixels:
    """Paint separate dabs of pure colour on bare canvas."""
    cell = max(3.2, short_side(picture) / 58)
    labels, distance, places = nearest_seeds(picture, cell, "dabs")
    colours = split(np.asarray(blur(picture, 0.006), np.uint8))[places[:, 0], places[:, 1]]
    turn = clouds(np.zeros((len(places), 1), np.uint8), "hue", cells=64, octaves=1)
    colours = np.clip(saturate(colours, 1.75) + (turn - 0.5) * floats((0.3, 0.0, -0.3)), 0, 1)
    dab = np.clip((0.56 * cell) - distance + 0.5, 0, 1)[..., None]
    return merge(colours[labels] * dab + _PAPER * (1 - dab))


def engraving(picture: Pixels) -> Pixels:
    """Draw black lines on cream that are wider where the photo is dark."""
    short = short_side(picture)
    period = max(3.2, short / 72)
    x, y = _pixels(picture)
    wave = (0.012 * short) * np.sin(x * (2 * np.pi / (0.42 * short)))
    phase = (y + wave + 0.35 * x) / period % 1
    light = np.asarray(blur(grey(picture), 0.004), np.float32)
    light = np.clip((light - 0.08) / 0.8, 0, 1)
    thick = 0.5 * (1 - light) ** 0.85
    line = np.clip((thick - np.abs(phase - 0.5)) * period + 0.5, 0, 1)[..., None]
    line *= (thick > 0.02)[..., None]
    return merge(_PAPER * (1 - line) + floats((0.09, 0.07, 0.07)) * line)


def _pixels(picture: Pixels) -> tuple[Floats, Floats]:
    """Return the x and y of every pixel in pixels, [h, w]."""
    height, width = picture.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return x, y
