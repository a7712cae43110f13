"""The pixel changes of each kind of fault, from severity 0 (just noticeable) to 1 (ruined).

Pure functions of uint8 pictures. Lengths are shares of the picture's shorter side, so that a fault
looks the same at 64 and at 1024 px; JPEG blocks are always 8 pixels wide, as in real pictures.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from editloop.darkroom.alignment import Motion, warp
from editloop.darkroom.measures import Floats
from editloop.schema import Mask, Pixels

__all__ = [
    "banding",
    "blend",
    "blocks",
    "blur",
    "colour_cast",
    "halo",
    "noise",
    "ringing",
    "shift",
    "zoom",
]

_CAST = np.array([24.0, -16.0, 24.0], np.float32)  # magenta: not the goal of any darkroom edit
_BLUR = 0.03  # sigma
_SHIFT = 0.05  # both right and down
_ZOOM = 0.25
_NOISE = 16.0  # sigma in levels of 255
_BAND = 28.0  # step between the remaining levels
_JPEG_QUALITY = 12
_HALO_WIDTH = 0.03
_HALO_LIGHT = 60.0
_RINGING = 17.0  # root mean square of the echoes, in levels
_RINGING_MOST = 20.0  # maximum amplification: nothing rings without an edge
_RINGING_WAVE = 0.047  # wavelength


def _round(values: NDArray[np.floating]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _side(pixels: Pixels) -> int:
    return int(min(pixels.shape[:2]))


def _composite(inside: Pixels, outside: Floats, mask: Mask) -> Pixels:
    """Combine `inside` where the mask is white with `outside` where it is black."""
    weight = mask[..., None].astype(np.float32) / 255
    return _round(inside * weight + outside * (1 - weight))


def blend(pixels: Pixels, other: Pixels, severity: float) -> Pixels:
    """Blend one picture into another with the weight `severity`."""
    return _round(pixels + np.float32(severity) * (other.astype(np.float32) - pixels))


def colour_cast(pixels: Pixels, mask: Mask, severity: float) -> Pixels:
    """Add a magenta tint outside the mask."""
    return _composite(pixels, pixels + _CAST * np.float32(severity), mask)


def blur(pixels: Pixels, mask: Mask, severity: float) -> Pixels:
    """Blur everything outside the mask; the inside does not bleed into it."""
    sigma = _BLUR * severity * _side(pixels)
    weight = 1 - mask[..., None].astype(np.float32) / 255
    spread = cv2.GaussianBlur(np.dstack([pixels * weight, weight]), (0, 0), sigma)
    outside = spread[..., :3] / np.maximum(spread[..., 3:], 1e-3)
    return _composite(pixels, outside, mask)


def shift(pixels: Pixels, mask: Mask, severity: float) -> Pixels:  # noqa: ARG001
    """Shift the whole picture to the right and down, by whole pixels."""
    step = max(1, round(_SHIFT * severity * _side(pixels))) / _side(pixels)
    return warp(pixels, Motion(step, step))


def zoom(pixels: Pixels, mask: Mask, severity: float) -> Pixels:  # noqa: ARG001
    """Crop the middle and enlarge it to the full size."""
    return warp(pixels, Motion(zoom=1 + _ZOOM * severity))


def blocks(pixels: Pixels, mask: Mask, severity: float) -> Pixels:  # noqa: ARG001
    """Add JPEG blocks in brightness, by mixing in a copy of very low JPEG quality.

    Colour and each block's mean are kept: blocks are a quality fault and should not change the
    coarse appearance of the edit.
    """
    light, *colour = cv2.split(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb))
    _, data = cv2.imencode(".jpg", light, (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY))
    error = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.float32) - light
    coded = _round(light + np.float32(severity) * (error - _block_means(error)))
    return np.asarray(cv2.cvtColor(cv2.merge([coded, *colour]), cv2.COLOR_YCrCb2RGB), np.uint8)


def _block_means(values: Floats) -> Floats:
    """Return for each pixel the mean of its 8x8 block; the last blocks may be cropped."""
    height, width = values.shape
    rows, columns = -(-height // 8), -(-width // 8)
    padded = np.pad(values, ((0, rows * 8 - height), (0, columns * 8 - width)), mode="edge")
    means: Floats = padded.reshape(rows, 8, columns, 8).mean((1, 3))
    return means.repeat(8, 0).repeat(8, 1)[:height, :width]


def noise(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Add Gaussian noise, independent for each pixel and channel."""
    grain = rng.standard_normal(pixels.shape, dtype=np.float32)
    return _round(pixels + _NOISE * np.float32(severity) * grain)


def banding(pixels: Pixels, mask: Mask, severity: float) -> Pixels:  # noqa: ARG001
    """Quantise each channel to few levels, so that gradients show bands."""
    step = np.float32(4 + (_BAND - 4) * severity)
    return _round(np.rint(pixels / step) * step)


def halo(pixels: Pixels, mask: Mask, severity: float) -> Pixels:
    """Add a bright rim around the mask, fading outwards; the inside is unchanged."""
    inside = (mask > 127).astype(np.uint8)
    distance = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    width = max(1.5, _HALO_WIDTH * _side(pixels))
    light = np.clip(1 - (distance - 1) / width, 0, 1) * (1 - inside)
    return _round(pixels + np.float32(_HALO_LIGHT * severity) * light[..., None])


def ringing(pixels: Pixels, mask: Mask, severity: float) -> Pixels:  # noqa: ARG001
    """Add echoes beside every edge, as caused by a filter with a sharp frequency cut-off."""
    wave = max(3.0, _RINGING_WAVE * _side(pixels))
    reach = round(2 * wave)
    grid = np.arange(-reach, reach + 1, dtype=np.float32)
    radius = np.hypot(*np.meshgrid(grid, grid))
    kernel = np.cos(2 * np.pi * radius / wave) * np.exp(-2 * radius / wave)
    kernel -= kernel.mean()
    values = pixels.astype(np.float32)
    details = values - cv2.GaussianBlur(values, (0, 0), wave / 3)  # keeps distant colours unchanged
    kernel /= np.abs(kernel).sum()
    echoes = cv2.filter2D(details, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    strength = min(_RINGING_MOST, _RINGING / (float(np.sqrt(np.mean(echoes**2))) + 1e-6))
    return _round(pixels + np.float32(severity * strength) * echoes)
