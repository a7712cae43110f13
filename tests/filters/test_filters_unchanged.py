import cv2
import numpy as np
import pytest

from editloop.filters.unchanged import measure_change
from pair_changes import PHOTOS, as_jpeg, local_edit, noisy


@pytest.mark.slow
@pytest.mark.parametrize("name", PHOTOS)
def test_small_edits_are_changes_and_copies_are_not(name: str) -> None:
    """Edits of 0.1 to 1% of the area, also compressed; copies by JPEG 75 to 95 and with noise."""
    photo, rng = PHOTOS[name], np.random.default_rng(len(name))
    wrong = []
    for _ in range(3):
        edited = local_edit(photo, rng)
        changed = [edited, as_jpeg(edited, int(rng.integers(75, 96)))]
        copies = [as_jpeg(photo, int(rng.integers(75, 96))), noisy(photo, rng), photo]
        copies.append(as_jpeg(as_jpeg(photo, 90), 75))
        wrong += [True for each in changed if not measure_change(photo, each).changed]
        wrong += [True for each in copies if measure_change(photo, each).changed]
    assert wrong == []


def test_global_changes_are_seen_where_no_window_stands_out() -> None:
    photo = PHOTOS["coffee"].astype(np.float32)
    brighter = np.clip(photo + 4, 0, 255).astype(np.uint8)
    contrast = np.clip((photo - 128) * 1.1 + 128, 0, 255).astype(np.uint8)
    for each in (brighter, contrast, 255 - PHOTOS["coffee"]):
        assert measure_change(PHOTOS["coffee"], each).changed


def test_ssim_alone_cannot_tell_them_apart() -> None:
    """The copy is less like the source than the edit is, by SSIM."""
    from skimage.metrics import structural_similarity

    photo, rng = PHOTOS["cat"], np.random.default_rng(0)
    edit, copy = local_edit(photo, rng), as_jpeg(photo, 75)
    scores = [structural_similarity(photo, each, channel_axis=2) for each in (edit, copy)]
    assert scores[0] > scores[1]


@pytest.mark.parametrize("side", [32, 64, 1024])
def test_pictures_of_other_sizes_are_measured(side: int) -> None:
    photo = cv2.resize(PHOTOS["cat"], (side, side + 8), interpolation=cv2.INTER_AREA)
    edited = photo.copy()
    edited[: side // 8, : side // 8] = 255 - edited[: side // 8, : side // 8]
    assert measure_change(photo, edited).changed
    assert not measure_change(photo, as_jpeg(photo, 95)).changed


def test_pictures_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="one size"):
        measure_change(PHOTOS["cat"], PHOTOS["cat"][:-1])
