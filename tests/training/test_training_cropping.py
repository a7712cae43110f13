"""Crops keep the edited region; edits outside of a crop are counted."""

from dataclasses import replace

import numpy as np
import pytest

from editloop.images.codec import encode_jpeg, encode_png
from editloop.runtime.seeding import generator
from editloop.schema import EditSample, Image
from editloop.training.buckets import CENTRE, View
from editloop.training.cropping import changed_region, cropped
from editloop.training.data_facts import lost_edits, notices
from editloop.training.framing import Framing
from editloop.training.triples import decoded
from latent_data import SQUARE, model_at, opened, published_rows

SIZE = 32
PLACES = {"left": slice(0, 12), "right": slice(84, 96)}


def wide(place: str, *, mask: bool = False, shape=(32, 96), quality: int | None = None):
    """An edit of 12 px in a picture three times as wide as high."""
    height, width = shape
    source = generator("wide").integers(90, 130, (height // 8, width // 8, 3), dtype=np.uint8)
    source = np.kron(source, np.ones((8, 8, 1), np.uint8))
    region = np.zeros(shape, np.uint8)
    region[10:22, PLACES[place]] = 255
    target = source.copy()
    target[region > 0] = (250, 20, 20)
    stored = encode_png(target) if quality is None else encode_jpeg(target, quality)
    return EditSample(
        id=place,
        source=Image(encode_png(source)),
        target=Image(stored),
        mask=Image(encode_png(region)) if mask else None,
        instruction="make the spot red",
    )


def red(pixels) -> int:
    return int(((pixels[..., 0] > 180) & (pixels[..., 1] < 90)).sum())


@pytest.mark.parametrize("quality", [None, 60])
@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("place", PLACES)
def test_the_edited_region_stays_in_the_crop(place, mask, quality) -> None:
    seen = Framing(SIZE).of(wide(place, mask=mask, quality=quality))
    assert red(seen.target) >= 0.9 * 144
    assert not seen.lost
    centre = Framing(SIZE, crop="centre").of(wide(place, mask=mask, quality=quality))
    assert red(centre.target) == 0
    assert centre.lost


def test_an_upright_picture_is_cropped_around_its_edit_too() -> None:
    sample = wide("right")
    turned = [np.rot90(_pixels(each)).copy() for each in (sample.source, sample.target)]
    stored = [Image(encode_png(each)) for each in turned]
    seen = Framing(SIZE).of(replace(sample, source=stored[0], target=stored[1]))
    assert red(seen.target) == 144


def _pixels(image):
    from editloop.images.codec import decode

    return decode(image.bytes)


def test_a_soft_mask_with_noise_counts_by_its_half() -> None:
    sample = wide("right", mask=True)
    noisy = np.full((32, 96), 3, np.uint8)
    noisy[10:22, PLACES["right"]] = 200
    whole = replace(decoded(sample), mask=noisy)
    seen = cropped(whole, CENTRE, (SIZE, SIZE), around_edit=True)
    assert red(seen.target) == 144
    assert cropped(whole, CENTRE, (SIZE, SIZE), around_edit=False).lost


@pytest.mark.parametrize("view", [View(1.5, (0.9, 0.1)), View(2.0, (0.0, 0.5), flip=True)])
def test_random_views_keep_the_edit(view) -> None:
    seen = Framing(SIZE).of(wide("right", mask=True), view)
    assert (seen.mask > 0).sum() >= 0.9 * 144
    assert red(seen.target) >= 0.9 * 144


def test_a_crop_that_keeps_its_edit_is_not_moved() -> None:
    source = generator("still").integers(0, 256, (32, 96, 3), dtype=np.uint8)
    target = source.copy()
    target[8:20, 40:52] = 255 - target[8:20, 40:52]
    sample = replace(wide("left"), source=_stored(source), target=_stored(target))
    assert np.array_equal(Framing(SIZE).of(sample).source, CENTRE.of(source, (SIZE, SIZE)))


def _stored(pixels):
    return Image(encode_png(pixels))


def test_an_edit_of_the_whole_picture_is_cropped_in_its_centre_and_not_lost() -> None:
    source = generator("all").integers(0, 200, (32, 96, 3), dtype=np.uint8)
    sample = replace(wide("left"), source=_stored(source), target=_stored(source + np.uint8(40)))
    seen = Framing(SIZE).of(sample)
    assert np.array_equal(seen.source, CENTRE.of(source, (SIZE, SIZE)))
    assert not seen.lost


def test_a_drift_of_the_whole_picture_is_no_edit() -> None:
    source = np.full((64, 192, 3), 100, np.uint8)
    target = source + generator("drift").integers(0, 12, source.shape, dtype=np.uint8)
    target[20:40, 150:180] = 255
    region = changed_region(source, target)
    assert region[20:40, 150:180].all()
    assert region.sum() < 1.5 * 600


@pytest.mark.parametrize(("crop", "lost"), [("edit", 0), ("centre", 2)])
def test_lost_edits_are_counted(tmp_path, crop, lost) -> None:
    samples = [wide("left"), replace(wide("right"), id="b"), replace(wide("left"), id="c")]
    middle = replace(samples[2], target=samples[2].source)  # nothing changes
    samples[2] = middle
    framing = Framing(16, multiple=8, crop=crop)
    settings = replace(SQUARE, framing=framing, masks=False)
    cache = opened(tmp_path, samples, settings, model=model_at(tmp_path))
    assert cache.pictures.lost == lost
    rows = published_rows(tmp_path / "run", samples)
    assert lost_edits(rows, framing, 10) == (lost, 3)
    lines = notices({"lost_edits": lost, "lost_edits_of": 3})
    assert bool(lines) == bool(lost)
    assert all(line.startswith("2 of 3 edits lie mostly outside") for line in lines)
