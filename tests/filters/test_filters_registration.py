import cv2
import numpy as np
import pytest

from editloop import edit
from editloop.filters.registration import Registration, aligned_pair, register
from pair_changes import PHOTOS, Pixels, as_jpeg, displaced, local_edit

GLOBAL = ("make it night", "make it snow", "turn it into an oil painting", "make it sepia")


@pytest.fixture(scope="module")
def targets() -> dict[str, list[Pixels]]:
    """Clean targets of each photo: a copy, a compressed one, local and global edits."""
    rng = np.random.default_rng(0)
    return {
        name: [
            photo,
            as_jpeg(photo, 85),
            local_edit(photo, rng),
            *(edit(photo, [text])[-1] for text in (GLOBAL[at % 4], "add a red ball on the left")),
        ]
        for at, (name, photo) in enumerate(PHOTOS.items())
    }


def error(found: Registration, shift: tuple[float, float], scale: tuple[float, float]) -> float:
    """Return the largest distance of a corner from where it should be, in pixels."""
    x = abs(found.shift_x - shift[0]) + abs(found.scale_x - scale[0]) * 256
    y = abs(found.shift_y - shift[1]) + abs(found.scale_y - scale[1]) * 256
    return float(np.hypot(x, y))


@pytest.mark.slow
@pytest.mark.parametrize("name", PHOTOS)
def test_clean_edits_are_not_displaced(name: str, targets: dict[str, list[Pixels]]) -> None:
    assert not [1 for each in targets[name] if register(PHOTOS[name], each).displaced]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pixels", "zoom", "aspect"),
    [(2.0, 0.0, 0.0), (8.0, 0.0, 0.0), (0.0, 0.01, 0.0), (0.0, 0.03, 0.0), (0.0, 0.0, 0.02)],
)
def test_shifts_zooms_and_aspects_are_found_and_repaired(
    pixels: float, zoom: float, aspect: float, targets: dict[str, list[Pixels]]
) -> None:
    rng = np.random.default_rng(round(1000 * (pixels + zoom + aspect)))
    found, far = [], []
    for name, photo in PHOTOS.items():
        for target in targets[name]:
            angle, sign = rng.uniform(0, 2 * np.pi), rng.choice([-1, 1])
            shift = (pixels * np.cos(angle), pixels * np.sin(angle))
            scale = (1 + sign * (zoom + aspect), 1 + sign * zoom)
            registration = register(photo, displaced(target, shift, scale))
            found.append(registration.displaced)
            far.append(error(registration, shift, scale))
    assert np.mean(found) >= 0.95
    assert np.mean(np.array(far) < 0.5) >= 0.9


def test_a_large_shift_is_found_by_features() -> None:
    photo = PHOTOS["china"]
    found = register(photo, displaced(photo, (60, -35), (1.1, 1.1)))
    assert error(found, (60, -35), (1.1, 1.1)) < 0.5


def test_another_picture_is_not_registered() -> None:
    assert not register(PHOTOS["cat"], PHOTOS["rocket"]).known
    assert not register(PHOTOS["cat"], np.full_like(PHOTOS["cat"], 128)).known


def test_the_repair_shows_the_same_in_both_pictures() -> None:
    photo = PHOTOS["coffee"]
    moved = displaced(photo, (5.5, -3.25), (1.02, 1.01))
    source, target, (left, top, right, bottom) = aligned_pair(photo, moved, register(photo, moved))
    assert np.array_equal(source, photo[top:bottom, left:right])
    assert source.shape == target.shape
    assert min(source.shape[:2]) > 490
    assert register(source, target).largest < 0.5
    assert np.abs(source.astype(int) - target).mean() < 2


@pytest.mark.parametrize(("width", "height"), [(900, 300), (200, 160), (64, 64)])
def test_displacements_are_in_pixels_of_the_picture(width: int, height: int) -> None:
    photo = cv2.resize(PHOTOS["china"], (width, height), interpolation=cv2.INTER_AREA)
    found = register(photo, displaced(photo, (3, -2)))
    assert (found.shift_x, found.shift_y) == pytest.approx((3, -2), abs=0.35)


def test_pictures_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="one size"):
        register(PHOTOS["cat"], PHOTOS["cat"][:-1])
