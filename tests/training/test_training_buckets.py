import math

import numpy as np
import pytest

from editloop.images.codec import resize
from editloop.runtime.seeding import generator
from editloop.training.buckets import CENTRE, View, bucket_sizes, nearest_size

SIZES = bucket_sizes(512, 64)


@pytest.mark.parametrize(("size", "multiple"), [(256, 64), (512, 64), (512, 32), (1024, 64)])
def test_sizes_have_about_the_squares_area_and_sides_of_multiples(size, multiple) -> None:
    sizes = bucket_sizes(size, multiple)
    assert (size, size) in sizes
    for height, width in sizes:
        assert height % multiple == width % multiple == 0
        assert (width, height) in sizes
        assert max(height, width) <= 2 * size
        # the shorter side is off by half a multiple at most
        assert abs(min(height, width) - size**2 / max(height, width)) <= multiple / 2


@pytest.mark.parametrize(
    ("picture", "size"),
    [((512, 512), (512, 512)), ((480, 640), (448, 576)), ((1080, 1920), (384, 704))],
)
def test_a_picture_has_the_size_of_its_shape(picture, size) -> None:
    assert nearest_size(*picture, SIZES) == size
    assert nearest_size(*picture[::-1], SIZES) == size[::-1]


def test_no_other_size_is_nearer() -> None:
    random = generator("shapes")
    for _ in range(50):
        height, width = random.integers(50, 2000, 2)
        distances = {(h, w): abs(math.log(h * width / (w * height))) for h, w in SIZES}
        chosen = nearest_size(int(height), int(width), SIZES)
        assert distances[chosen] == pytest.approx(min(distances.values()))


def test_a_picture_of_the_size_is_seen_as_it_is() -> None:
    pixels = generator("same").integers(0, 256, (24, 40, 3), dtype=np.uint8)
    assert np.array_equal(CENTRE.of(pixels, (24, 40)), pixels)


def test_the_longer_sides_ends_are_cut_alike() -> None:
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = 255
    assert (CENTRE.of(pixels, (20, 20)) == 255).all()
    assert (CENTRE.of(pixels, (10, 10)) == 255).all()


@pytest.mark.parametrize("picture", [(37, 91), (91, 37), (10, 10), (64, 48), (1, 500)])
@pytest.mark.parametrize("view", [CENTRE, View(1.3, (0.0, 1.0), flip=True), View(2, (1.0, 0.2))])
def test_every_view_covers_its_size(picture, view) -> None:
    pixels = generator("any").integers(0, 256, (*picture, 3), dtype=np.uint8)
    assert view.of(pixels, (32, 48)).shape == (32, 48, 3)
    assert view.of_mask(pixels[..., 0], (32, 48)).shape == (32, 48)


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_the_far_ends_of_a_line_are_not_scaled_with_it(monkeypatch, place) -> None:
    made = []

    def watched(pixels, height, width):
        made.append(height * width)
        return resize(pixels, height, width)

    monkeypatch.setattr("editloop.training.buckets.resize", watched)
    line = np.zeros((1, 20_001, 3), np.uint8)
    line[:, round(20_000 * place)] = 255
    assert (View(1.0, (0.5, place)).of(line, (32, 32)) == 255).any()
    assert sum(made) <= 20 * 32 * 32


@pytest.mark.parametrize("view", [CENTRE, View(1.5, (0.9, 0.1)), View(1.2, (0.3, 0.6), flip=True)])
def test_picture_and_mask_are_seen_alike(view) -> None:
    pixels = np.zeros((90, 130, 3), np.uint8)
    pixels[30:60, 40:110] = 255
    picture, mask = view.of(pixels, (32, 32)), view.of_mask(pixels[..., 0], (32, 32))
    assert (picture[mask == 255] >= 127).all()
    assert (picture[mask == 0] <= 128).all()


def test_a_flipped_view_is_the_mirror_image() -> None:
    pixels = generator("flip").integers(0, 256, (32, 48, 3), dtype=np.uint8)
    view, flipped = View(1.2, (0.3, 0.8)), View(1.2, (0.3, 0.8), flip=True)
    assert np.array_equal(view.of(pixels, (16, 16))[:, ::-1], flipped.of(pixels, (16, 16)))
