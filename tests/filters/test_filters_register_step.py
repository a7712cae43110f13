from dataclasses import replace

import cv2
import numpy as np
import pytest

from editloop.filters.register_step import RegisterSettings, RegisterStep
from editloop.filters.registration import register
from editloop.images.codec import decode, encode_png
from editloop.kernel.steps import Drop, Keep, Outcome
from editloop.schema import EditSample, Image, Pixels
from pair_changes import PHOTOS, displaced

PHOTO = PHOTOS["coffee"]
BOX = (slice(150, 260), slice(200, 330))


def edited() -> Pixels:
    picture = PHOTO.copy()
    picture[BOX] = 255 - picture[BOX]
    return picture


def pair(target: Pixels, *, mask: bool = False) -> EditSample:
    allowed = np.zeros(PHOTO.shape[:2], np.uint8)
    allowed[BOX] = 255
    return EditSample(
        id="a",
        source=Image(encode_png(PHOTO)),
        instruction="invert it",
        target=Image(encode_png(target)),
        mask=Image(encode_png(allowed)) if mask else None,
    )


def outcome(sample: EditSample, **settings: str) -> Outcome:
    (found,) = RegisterStep(RegisterSettings(**settings)).process([sample])
    return found


def kept(found: Outcome) -> EditSample:
    assert isinstance(found, Keep)
    return found.samples[0]


def test_a_clean_pair_stays_as_it_is() -> None:
    sample = pair(edited())
    assert kept(outcome(sample)) is sample


def test_a_displaced_pair_is_cropped_to_what_both_show() -> None:
    sample = kept(outcome(pair(displaced(edited(), (6, -4), (1.01, 1.01)), mask=True)))
    assert sample.source is not None
    assert sample.target is not None
    assert sample.mask is not None
    source, target = decode(sample.source.bytes), decode(sample.target.bytes)
    assert source.shape == target.shape == (*decode(sample.mask.bytes).shape[:2], 3)
    assert register(source, target).largest < 0.5
    assert sample.provenance is not None
    note = sample.provenance.parameters["registration"]
    assert note["shift"] == pytest.approx([6, -4], abs=0.2)
    left, top, right, bottom = note["crop"]
    assert np.array_equal(source, PHOTO[top:bottom, left:right])


def test_pasting_back_keeps_the_sources_bytes_outside_of_the_mask() -> None:
    sample = kept(outcome(pair(displaced(edited(), (5, 3)), mask=True), repair="paste-back"))
    assert sample.target is not None
    target = decode(sample.target.bytes)
    outside = np.ones(PHOTO.shape[:2], bool)
    outside[BOX] = False
    assert np.array_equal(target[outside], PHOTO[outside])
    assert np.abs(target[BOX].astype(int) - edited()[BOX]).mean() < 6


@pytest.mark.parametrize(
    ("sample", "settings", "reason"),
    [
        (pair(displaced(edited(), (6, 0))), {"repair": "refuse"}, "shifted, refused: +6"),
        (pair(displaced(edited(), (6, 0))), {"repair": "paste-back"}, "shifted, no mask"),
        (pair(cv2.resize(edited(), (560, 512))), {}, "aspect: the target's is 1.094"),
        (replace(pair(displaced(edited(), (6, 0))), session="s"), {}, "shifted, a turn"),
        (pair(PHOTOS["rocket"]), {"unknown": "drop"}, "registration: too little"),
    ],
)
def test_what_is_not_repaired_is_dropped_with_the_amount(
    sample: EditSample, settings: dict[str, str], reason: str
) -> None:
    found = outcome(sample, **settings)
    assert isinstance(found, Drop)
    assert f"{found.reason}: {found.detail}".startswith(reason)
