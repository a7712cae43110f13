"""Masks of every form that people's files have: read for certain, or refused with the rules."""

import re

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from editloop.errors import ImageError, RecipeError
from editloop.images import masks
from editloop.images.codec import decode_mask, encode_jpeg, encode_png, resize
from editloop.images.masks import MASK_CODES, MaskReading, MaskSettings, mask_reading
from editloop.schema import Mask
from editloop.settings import validate
from odd_images import saved

DISC = cv2.circle(np.zeros((96, 128), np.uint8), (60, 40), 25, 1, -1)
BAND = (np.arange(128) < 20) & (DISC == 0)  # a second area, beside the disc
EXIF = {turn: Pillow.Exif() for turn in range(1, 9)}
for turn, exif in EXIF.items():
    exif[0x0112] = turn


def coloured(colour: tuple[int, int, int]) -> bytes:
    return encode_png((DISC[..., None] * np.array(colour)).astype(np.uint8))


def palette(indices: np.ndarray, colours: list[tuple[int, int, int]], **options: object) -> bytes:
    image = Pillow.fromarray(indices.astype(np.uint8)).convert("L").copy()
    image = Pillow.frombytes("P", image.size, image.tobytes())
    image.putpalette([level for colour in colours for level in colour])
    return saved(image, "PNG", **options)


def deep(colour: int) -> bytes:
    """A PNG of 16 bits in each of three channels."""
    found = cv2.imencode(".png", np.dstack([DISC.astype(np.uint16) * colour] * 3))
    return bytes(found[1].tobytes())


def soft(white: int = 255) -> Mask:
    return cv2.GaussianBlur(DISC * np.uint8(white), (0, 0), 6)


def shown(area: np.ndarray) -> Mask:
    return (area > 0) * np.uint8(255)


CERTAIN = {
    **{f"labels 0 and {label}": encode_png(DISC * label) for label in (1, 2, 17, 127, 255)},
    **{
        f"16 bit, 0 and {value}": saved(DISC.astype(np.uint16) * value, "PNG")
        for value in (1, 255, 65535)
    },
    "16 bit colour, 0 and 255": deep(255),
    "16 bit colour, 0 and 65535": deep(65535),
    "4 bits a pixel": saved(Pillow.fromarray(DISC * 17), "PNG", bits=4),
    "1 bit a pixel": saved(Pillow.fromarray(DISC > 0), "PNG"),
    "pure red": coloured((255, 0, 0)),
    "pure blue": coloured((0, 0, 255)),
    "almost black": coloured((0, 0, 1)),
    "VOC palette": palette(DISC, [(0, 0, 0), (128, 0, 0)]),
    "palette index 2": palette(DISC * 2, [(0, 0, 0), (9, 9, 9), (0, 99, 0)]),
    "palette of one colour": palette(DISC * 2, [(0, 0, 0)] * 3),
    "cut-out": saved(np.dstack([*[DISC * 9] * 3, 255 - DISC * 255]), "PNG"),
    "grey, opaque": saved(np.dstack([DISC, np.full_like(DISC, 255)]), "PNG"),
    "GIF": saved(Pillow.fromarray(DISC * 255), "GIF"),
}


@pytest.mark.parametrize("name", CERTAIN)
def test_two_values_one_of_them_0_are_not_zero_where_editing_is_allowed(name: str) -> None:
    assert np.array_equal(decode_mask(CERTAIN[name]), shown(DISC))


SOFT = {
    "blurred": (encode_png(soft()), soft() >= 128),
    "a colour's shades": (saved(np.dstack([soft(), soft() * 0, soft() * 0]), "PNG"), soft() >= 128),
    "gradient": (encode_png(np.tile(np.arange(128, dtype=np.uint8) * 2, (96, 1))), BAND | True),
    **{f"JPEG at {q}": (encode_jpeg(DISC * np.uint8(255), q), DISC) for q in (20, 75, 100)},
    "JPEG in red": (
        encode_jpeg(np.dstack([DISC * np.uint8(255), DISC * 0, DISC * 0]), 90), DISC,
    ),
    "made of a JPEG": (
        encode_png(cv2.imdecode(np.frombuffer(encode_jpeg(DISC * np.uint8(255), 75), np.uint8), 0)),
        DISC,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SOFT)
def test_greys_and_noise_are_soft_and_allow_where_they_are_light(name: str) -> None:
    data, due = SOFT[name]
    if name == "gradient":
        due = np.tile(np.arange(128) >= 64, (96, 1))
    made = decode_mask(data)
    assert set(np.unique(made)) == {0, 255}
    assert ((made > 0) != (due > 0)).mean() < 0.002


@pytest.mark.parametrize("level", [0, 255])
def test_all_black_is_nowhere_and_all_white_everywhere(level: int) -> None:
    full = np.full((8, 9), level, np.uint8)
    sixteen = saved(full.astype(np.uint16) * 257, "PNG")
    for data in (encode_png(full), encode_jpeg(full, 75), sixteen, saved(full > 0, "PNG")):
        assert (decode_mask(data) == level).all()


AMBIGUOUS = {
    "labels 1 and 2": encode_png(DISC + 1),
    "labels 0, 1 and 2": encode_png(DISC + BAND * np.uint8(2)),
    "0, 128 and 255": encode_png(DISC * 255 + BAND * np.uint8(128)),
    "label 1 and void": encode_png(DISC + BAND * np.uint8(255)),
    "50 and 200": encode_png(DISC * 150 + 50),
    "16 bit, 0 to 255": saved(soft().astype(np.uint16), "PNG"),
    **{f"all {level}": encode_png(np.full_like(DISC, level)) for level in (1, 127, 128, 254)},
    "all red": encode_png(np.full((8, 9, 3), (255, 0, 0), np.uint8)),
    "soft and dark": encode_png(soft(90)),
    "a JPEG of 0 and 127": encode_jpeg(DISC * 127, 75),
    "a JPEG of 0 and 1": encode_jpeg(DISC, 95),
    "three colours": encode_png(
        np.dstack([DISC * np.uint8(255), BAND * np.uint8(255), DISC * np.uint8(0)])
    ),
    "white and red": encode_png(np.dstack([DISC * 0 + 255, 255 - DISC * 255, 255 - DISC * 255])),
    "a palette of two colours": palette(DISC, [(10, 200, 30), (99, 0, 3)]),
    "hardly transparent": saved(np.dstack([*[DISC] * 3, 255 - DISC * 9]), "PNG"),
    "a photo": saved(np.random.default_rng(0).integers(0, 256, (9, 8, 3), np.uint8), "PNG"),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_is_ambiguous_is_refused_with_the_rules(name: str) -> None:
    with pytest.raises(ImageError, match="--mask-rule") as caught:
        decode_mask(AMBIGUOUS[name])
    assert caught.value.code == "ambiguous-mask"
    assert caught.value.value


LABELS = DISC + BAND * np.uint8(2)
CUT = np.dstack([*[DISC * 0] * 3, DISC * 255])
RULES = {
    "nonzero": (encode_png(LABELS), "nonzero", LABELS > 0),
    "nonzero of a palette": (palette(DISC, [(9, 9, 9), (8, 7, 6)]), "nonzero", DISC),
    "white": (encode_png(LABELS * 100), "white", BAND),
    "white in colour": (AMBIGUOUS["white and red"], "white", DISC == 0),
    "opaque": (saved(CUT, "PNG"), "opaque", DISC),
    "index of a grey": (encode_png(LABELS), "index:2", BAND),
    "index of a palette": (palette(LABELS, [(5, 5, 5)] * 3), "index:2", BAND),
    "index of 16 bits": (saved(LABELS.astype(np.uint16) * 300, "PNG"), "index:600", BAND),
    "index of 4 bits": (saved(Pillow.fromarray(LABELS * 17), "PNG", bits=4), "index:2", BAND),
    "index of no pixel": (encode_png(LABELS), "index:7", DISC * 0),
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_decides_and_inverting_swaps(name: str) -> None:
    data, rule, due = RULES[name]
    assert np.array_equal(decode_mask(data, reading=mask_reading(rule)), shown(due))
    swapped = decode_mask(data, reading=mask_reading(rule, invert=True))
    assert np.array_equal(swapped, 255 - shown(due))


def test_inverting_needs_no_rule() -> None:
    data = encode_png(DISC * 255)
    assert np.array_equal(decode_mask(data, reading=MaskReading(invert=True)), 255 - shown(DISC))


@pytest.mark.parametrize("rule", ["opaque", "index:1"])
def test_a_rule_that_does_not_fit_is_refused(rule: str) -> None:
    with pytest.raises(ImageError, match="rule does not fit") as caught:
        decode_mask(AMBIGUOUS["three colours"], reading=mask_reading(rule))
    assert caught.value.code == "mask-rule"


@pytest.mark.parametrize("rule", ["black", "index", "index:-1", "index:1.5", "White", ""])
def test_an_unknown_rule_is_refused_with_the_known_ones(rule: str) -> None:
    for ask in (mask_reading, lambda rule: validate(MaskSettings, {"mask_rule": rule}, where="x")):
        with pytest.raises(RecipeError, match="nonzero, white, opaque or index:N"):
            ask(rule)


def test_every_code_is_documented() -> None:
    assert set(re.findall(r"^    ([a-z]+-[a-z]+)  ", masks.__doc__, re.M)) == MASK_CODES


PHOTO = np.dstack([DISC * 99, DISC * 7, DISC * 50])


@pytest.mark.parametrize("turn", [5, 6, 7, 8])
@pytest.mark.parametrize("scale", [1, 2])
def test_a_mask_is_turned_with_the_photo_that_exif_turns(turn: int, scale: int) -> None:
    photo = saved(PHOTO, "JPEG", exif=EXIF[turn])
    due = decode_mask(saved(Pillow.fromarray(DISC * 255), "PNG", exif=EXIF[turn]))
    assert due.shape == (128, 96)
    mask = resize(DISC * np.uint8(255), 96 // scale, 128 // scale)
    made = decode_mask(encode_png(mask), photo=photo)
    assert made.shape == (128 // scale, 96 // scale)
    assert np.array_equal(made, due if scale == 1 else resize(due, 64, 48))


@pytest.mark.parametrize("turn", range(2, 9))
def test_a_mask_that_is_upright_already_stays(turn: int) -> None:
    photo = saved(PHOTO, "JPEG", exif=EXIF[turn])
    own = saved(Pillow.fromarray(DISC * 255), "PNG", exif=EXIF[turn])
    due = decode_mask(own)
    assert np.array_equal(decode_mask(own, photo=photo), due)  # it names its own turn
    if turn >= 5:
        assert np.array_equal(decode_mask(encode_png(due), photo=photo), due)


@pytest.mark.parametrize("turn", [2, 3, 4])
def test_a_mask_that_fits_both_ways_is_refused_and_exif_is_named(turn: int) -> None:
    photo = saved(PHOTO, "JPEG", exif=EXIF[turn])
    with pytest.raises(ImageError, match=f"EXIF orientation {turn}") as caught:
        decode_mask(encode_png(DISC * 255), photo=photo)
    assert caught.value.code == "turned-mask"
    white = np.full_like(DISC, 255)
    assert np.array_equal(decode_mask(encode_png(white), photo=photo), white)


def test_a_region_never_vanishes_when_it_shrinks() -> None:
    mask = np.zeros((300, 400), np.uint8)
    mask[7, 9] = 255
    assert resize(mask, 30, 40).sum() == 255
    assert not resize(mask * 0, 30, 40).any()
