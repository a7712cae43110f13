"""Photos of 512 pixels, and changes of known size: encoding noise, small edits, displacements."""

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data
from sklearn.datasets import load_sample_images

Pixels = NDArray[np.uint8]

SIDE = 512


def _square(photo: Pixels) -> Pixels:
    height, width = photo.shape[:2]
    scale = SIDE / min(height, width)
    size = (max(SIDE, round(width * scale)), max(SIDE, round(height * scale)))
    photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (photo.shape[0] - SIDE) // 2, (photo.shape[1] - SIDE) // 2
    return np.ascontiguousarray(photo[top : top + SIDE, left : left + SIDE])


_CHINA, _FLOWER = load_sample_images().images
PHOTOS = {
    name: _square(photo)
    for name, photo in {
        "cat": data.chelsea(),
        "coffee": data.coffee(),
        "rocket": data.rocket(),
        "china": _CHINA,
        "flower": _FLOWER,
    }.items()
}


def as_jpeg(photo: Pixels, quality: int) -> Pixels:
    """Return the photo after JPEG compression."""
    coded = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(decoded[..., ::-1])


def noisy(photo: Pixels, rng: np.random.Generator) -> Pixels:
    """Return the photo with smooth noise like an autoencoder's, at a PSNR of 28 to 36 dB."""
    noise = rng.normal(size=photo.shape).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.7, 4))
    noise *= 255 / 10 ** (rng.uniform(28, 36) / 20) / np.sqrt((noise**2).mean())
    return np.clip(photo + noise, 0, 255).round().astype(np.uint8)


def local_edit(photo: Pixels, rng: np.random.Generator) -> Pixels:
    """Return the photo with an ellipse or a rectangle recoloured: 0.1 to 1% of the area.

    The mean difference inside it is at least 20 of 255.
    """
    while True:
        area = rng.uniform(0.001, 0.01) * SIDE * SIDE
        width = int(np.sqrt(area * rng.uniform(0.4, 2.5)))
        height = max(2, int(area / width))
        left, top = rng.integers(0, SIDE - width), rng.integers(0, SIDE - height)
        mask = np.zeros((SIDE, SIDE), np.float32)
        if rng.random() < 0.5:
            mask[top : top + height, left : left + width] = 1
        else:
            centre = (int(left + width // 2), int(top + height // 2))
            axes = (max(1, round(width / 1.77)), max(1, round(height / 1.77)))
            cv2.ellipse(mask, centre, axes, 0, 0, 360, 1, -1)
        colour = np.ones(3) if rng.random() < 0.5 else rng.permutation([1.5, 0.75, 0.75])
        change = mask[..., None] * colour * rng.uniform(24, 60) * rng.choice([-1, 1])
        edited = np.clip(photo + change, 0, 255).round().astype(np.uint8)
        if np.abs(edited.astype(int) - photo)[mask > 0].mean() >= 20:
            return edited


def displaced(
    picture: Pixels, shift: tuple[float, float] = (0, 0), scale: tuple[float, float] = (1, 1)
) -> Pixels:
    """Return the picture scaled about its centre and shifted, in pixels (x, y)."""
    height, width = picture.shape[:2]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix = np.column_stack([np.diag(scale), centre + shift - np.array(scale) * centre])
    return cv2.warpAffine(
        picture, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
