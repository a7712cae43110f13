import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from editloop.editors.geometry import Sizing, fitted, resized
from editloop.models.masks import resized_mask
from editloop.runtime.seeding import generator

ODD = [(1, 1), (7, 1000), (1000, 7), (513, 511), (512, 512), (1, 3000), (333, 500), (2, 5)]
RULES = [{"long_side": 512}, {"short_side": 512}, {"side": 512}, {}]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("multiple", [1, 8, 64])
@pytest.mark.parametrize("size", ODD)
def test_sides_are_multiples_as_near_as_can_be(size, multiple, rule) -> None:
    made = fitted(*size, Sizing(multiple=multiple, **rule))
    scale = {
        "long_side": 512 / max(size),
        "short_side": 512 / min(size),
        "side": 512 / (size[0] * size[1]) ** 0.5,
    }.get(next(iter(rule), ""), 1.0)
    for length, before in zip(made, size, strict=True):
        assert length >= multiple
        assert length % multiple == 0
        near = abs(length - before * scale) <= multiple / 2 + 1e-6
        assert near or (length == multiple and before * scale < multiple)


@given(st.integers(1, 5000), st.integers(1, 5000), st.sampled_from([8, 16, 64]))
def test_a_fitted_size_stays_as_it_is(height, width, multiple) -> None:
    sizing = Sizing(multiple=multiple)
    once = fitted(height, width, sizing)
    assert fitted(*once, sizing) == once


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_turning_a_picture_turns_its_size(height, width) -> None:
    sizing = Sizing(long_side=512, multiple=64)
    assert fitted(width, height, sizing) == fitted(height, width, sizing)[::-1]


@pytest.mark.parametrize(
    ("size", "sizing", "expected"),
    [
        ((640, 480), Sizing(long_side=512, multiple=64), (512, 384)),
        ((1024, 1024), Sizing(long_side=512, multiple=64), (512, 512)),
        ((600, 900), Sizing(short_side=512), (512, 768)),
        ((400, 900), Sizing(side=600), (400, 904)),  # 900 lies between 896 and 904: the larger
        ((100, 100), Sizing(), (104, 104)),
        ((101, 99), Sizing(multiple=1), (101, 99)),
        ((427, 640), Sizing(long_side=512, multiple=64), (320, 512)),
        (
            (427, 640),
            Sizing(long_side=512, multiple=64, rounding="instruct-pix2pix"),
            (384, 512),  # 341.6 up to 384; 640 times the same factor is 575.5, down to 512
        ),
    ],
)
def test_sizes_worked_by_hand(size, sizing, expected) -> None:
    assert fitted(*size, sizing) == expected


@pytest.mark.parametrize("size", ODD)
def test_there_and_back_has_the_source_size(size) -> None:
    pixels = generator("odd", *size).integers(0, 256, (*size, 3), dtype=np.uint8)
    there = resized(pixels, fitted(*size, Sizing(long_side=64)))
    assert there.shape[:2] == fitted(*size, Sizing(long_side=64))
    back = resized(there, size)
    assert back.shape == pixels.shape
    assert back.dtype == np.uint8


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("lanczos", Image.Resampling.LANCZOS),
        ("bicubic", Image.Resampling.BICUBIC),
        ("bilinear", Image.Resampling.BILINEAR),
        ("area", Image.Resampling.BOX),
    ],
)
def test_the_filter_is_pillows(name, method) -> None:
    pixels = generator("filter").integers(0, 256, (37, 53, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((24, 16), method))
    assert np.array_equal(resized(pixels, (16, 24), name), expected)


def test_picture_and_mask_share_one_geometry() -> None:
    pixels = np.zeros((90, 130, 3), np.uint8)
    pixels[30:60, 50:100] = 255
    size = fitted(90, 130, Sizing(long_side=64))
    picture, mask = resized(pixels, size, "area"), resized_mask(pixels[..., 0], size)
    assert np.array_equal(picture[..., 0] >= 128, mask == 255)


def test_a_rule_from_text() -> None:
    assert Sizing.model_validate("long_side:512,multiple:64,filter:bicubic") == Sizing(
        long_side=512, multiple=64, filter="bicubic"
    )


@pytest.mark.parametrize(
    "rule",
    [
        {"long_side": 512, "side": 512},
        {"long_side": 0},
        {"multiple": 0},
        {"long_side": 1_000_000},
        {"filter": "nearest"},
        {"longest": 512},
        "512",
    ],
)
def test_bad_rules_are_refused(rule) -> None:
    with pytest.raises(ValidationError):
        Sizing.model_validate(rule)
