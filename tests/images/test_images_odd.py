"""Unusual pictures: each is normalised, or raises ImageError with its own code."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from editloop.errors import ImageError
from editloop.images import codec
from editloop.images.codec import CODES, decode, decode_mask
from odd_images import odd_images, saved, smooth

ODD = odd_images()
REFUSED = sorted(name for name, odd in ODD.items() if odd.code)
NORMALISED = sorted(name for name, odd in ODD.items() if not odd.code)


def code_of(data: bytes) -> str | None:
    try:
        decode(data)
    except ImageError as error:
        return error.code
    return None


@pytest.mark.parametrize("name", NORMALISED)
def test_odd_pictures_are_normalised(name: str) -> None:
    odd = ODD[name]
    pixels = decode(odd.data)
    assert (pixels.shape, pixels.dtype) == (odd.pixels.shape, np.uint8)
    assert np.abs(pixels.astype(int) - odd.pixels).max() <= odd.tolerance


@pytest.mark.parametrize("name", REFUSED)
def test_odd_pictures_are_refused_under_their_code(name: str) -> None:
    assert code_of(ODD[name].data) == ODD[name].code


@pytest.mark.parametrize("name", REFUSED)
def test_odd_masks_are_refused_under_the_same_code(name: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode_mask(ODD[name].data)
    assert caught.value.code == ODD[name].code


def test_every_code_is_met_and_documented() -> None:
    assert {odd.code for odd in ODD.values()} - {None} == CODES
    assert set(re.findall(r"^    ([a-z-]+)  ", codec.__doc__, re.M)) == CODES


def test_every_refusal_says_what_to_do() -> None:
    for name in REFUSED:
        with pytest.raises(ImageError, match="fix: "):
            decode(ODD[name].data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "PPM"])
def test_damage_never_escapes_as_anything_but_an_image_error(kind: str) -> None:
    whole = saved(smooth(), kind)
    rng = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(whole)
        for at in rng.integers(len(data), size=rng.integers(1, 6)):
            data[at] = rng.integers(256)
        damaged = bytes(data[: rng.integers(1, len(data) + 1)])
        code = code_of(damaged)
        assert code is None or code in CODES


_MEASURE = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from odd_images import odd_images
from editloop.errors import ImageError
from editloop.images.codec import decode
bombs = [odd.data for odd in odd_images().values() if odd.code in ("too-large", "metadata-bomb")]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for data in bombs:
    try:
        decode(data)
    except ImageError:
        pass
print(len(bombs), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_bombs_take_little_memory() -> None:
    command = [sys.executable, "-c", _MEASURE, str(Path(__file__).parents[1])]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    bombs, kilobytes = map(int, made.stdout.split())
    assert bombs >= 5
    assert kilobytes < 150_000
