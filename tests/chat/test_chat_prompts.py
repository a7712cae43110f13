"""Texts that cannot leave their fence, and pictures encoded as a prompt says."""

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from editloop.chat.prompts import PictureEncoding, encode_picture, fenced
from editloop.images.codec import decode
from editloop.schema import Pixels

STEADY = settings(deadline=None, derandomize=True)
ANYTHING = st.text(st.characters(exclude_categories=()))  # lone surrogates included


def noise(height: int = 40, width: int = 60, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def body_of(fence: str) -> str:
    first, body, last = fence.splitlines()
    assert first.startswith("<data-")
    assert last == f"</{first[1:]}"
    return body


@pytest.mark.slow
@STEADY
@given(ANYTHING)
def test_no_text_leaves_its_fence(text: str) -> None:
    body = body_of(fenced(text))
    assert not set(body) & set("<>")
    assert body.isprintable()


@STEADY
@given(ANYTHING)
def test_a_fenced_text_is_whole(text: str) -> None:
    assert json.loads(body_of(fenced(text))).encode("utf-16", "surrogatepass") == text.encode(
        "utf-16", "surrogatepass"
    )


def test_other_scripts_stay_readable() -> None:
    assert body_of(fenced("把天空变蓝 🌊 e\u0301")) == '"把天空变蓝 🌊 e\u0301"'


def test_a_fence_is_the_same_each_time_and_another_for_another_text() -> None:
    assert fenced("a") == fenced("a")
    assert fenced("a").splitlines()[0] != fenced("b").splitlines()[0]


def test_a_png_shows_the_pixels_exactly() -> None:
    sent = encode_picture(noise(), PictureEncoding(format="png"))
    assert sent.media_type == "image/png"
    assert np.array_equal(decode(sent.data), noise())


def test_a_jpeg_has_its_quality() -> None:
    fine, coarse = (
        encode_picture(noise(), PictureEncoding(quality=quality)) for quality in (100, 30)
    )
    assert fine.media_type == "image/jpeg"
    assert len(fine.data) > 2 * len(coarse.data)


def test_a_height_is_reached_by_pillows_bicubic_filter() -> None:
    sent = encode_picture(noise(40, 61), PictureEncoding(format="png", height=20))
    expected = Image.fromarray(noise(40, 61)).resize((30, 20), Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(sent.data))), np.asarray(expected))
