"""The judge `metric` and its measures: recomputed simply, and on edits with known faults."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from editloop.darkroom import damage
from editloop.images.masks import NOWHERE
from editloop.judges.findings import find
from editloop.judges.metric import MetricJudge
from editloop.schema import EditedPair, Mask, Pixels, Score, Unscored
from editloop.sources.scenes import photo

SIDE = 96
INSIDE = (slice(30, 63), slice(21, 58))  # not aligned to the grid of blocks
WHOLE: Mask = np.full((SIDE, SIDE), 255, np.uint8)


def scene(name: str = "grace_hopper") -> Pixels:
    pixels = photo(name)
    side = min(pixels.shape[:2])
    small = cv2.resize(pixels[:side, :side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def local_mask() -> Mask:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[INSIDE] = 255
    return mask


def recoloured() -> Pixels:
    edited = scene().copy()
    edited[INSIDE] = edited[INSIDE] // 2 + np.array([120, 20, 20], np.uint8)
    return edited


def darker(pixels: Pixels) -> Pixels:
    return (pixels * 0.6).astype(np.uint8)


def noisy(pixels: Pixels, sigma: float) -> Pixels:
    grain = np.random.default_rng(0).normal(0, sigma, pixels.shape)
    return np.clip(pixels + grain, 0, 255).astype(np.uint8)


def judged(edited: Pixels, mask: Mask | None, source: Pixels | None = None) -> dict[str, object]:
    pair = EditedPair("a", scene() if source is None else source, "", edited, mask=mask)
    (verdict,) = MetricJudge().judge([pair])
    return {
        name: each.value if isinstance(each, Score) else each.reason
        for name, each in verdict.items()
    }


def test_l1_is_the_mean_difference_of_the_small_outside() -> None:
    edited = recoloured()
    edited[:, 80:] = np.minimum(edited[:, 80:], 200) + 30
    found = find(scene(), edited, local_mask())
    # 96 px over 32 cells are blocks of 3x3; the outside is 5 px away from the mask.
    before, after = (
        np.rint(p.astype(np.float64).reshape(32, 3, 32, 3, 3).mean((1, 3)))
        for p in (scene(), edited)
    )
    near = cv2.dilate(local_mask(), np.ones((11, 11), np.uint8)) > 0
    stays = ~near.reshape(32, 3, 32, 3).any((1, 3))
    assert found.l1 == pytest.approx(np.abs(before - after).mean(2)[stays].mean(), abs=1e-6)


def test_ssim_is_scikit_images_on_the_small_outside() -> None:
    edited = noisy(recoloured(), 12)
    found = find(scene(), edited, local_mask())
    before, after = (
        np.rint(p.astype(np.float64).reshape(32, 3, 32, 3, 3).mean((1, 3))).astype(np.uint8)
        for p in (scene(), edited)
    )
    near = cv2.dilate(local_mask(), np.ones((11, 11), np.uint8)) > 0
    stays = ~near.reshape(32, 3, 32, 3).any((1, 3))
    _, similar = structural_similarity(
        before, after, channel_axis=2, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, full=True, data_range=255,
    )  # fmt: skip
    assert found.ssim == pytest.approx(similar.mean(2)[stays].mean(), abs=1e-4)


def test_a_uniform_change_is_its_amount() -> None:
    edited = np.minimum(scene(), 205) + np.uint8(50)
    source = np.minimum(scene(), 205)
    assert find(source, edited, WHOLE).changed == pytest.approx(50, abs=1e-3)


def test_without_a_mask_the_change_is_that_of_the_most_changed_places() -> None:
    source = np.minimum(scene(), 155)
    edited = source.copy()
    edited[:24, :24] += 100  # 9 of 144 cells, of which 7 count
    assert find(source, edited, None).changed == pytest.approx(100, abs=1)


def test_contrast_is_a_share_of_the_sources() -> None:
    source = scene()
    half = ((source.astype(np.float32) - 128) / 2 + 128).astype(np.uint8)
    assert find(source, half, WHOLE).contrast == pytest.approx(0.5, abs=0.01)


def test_a_shift_is_found_and_taken_off() -> None:
    moved = damage.shift(recoloured(), local_mask(), 1.0)
    found = find(scene(), moved, local_mask())
    assert found.shift == pytest.approx(np.hypot(5, 5) / SIDE, abs=0.005)
    assert found.l1 is not None
    assert found.l1 < 2


def test_a_zoom_is_found() -> None:
    enlarged = damage.zoom(recoloured(), local_mask(), 0.6)
    assert find(scene(), enlarged, local_mask()).zoom == pytest.approx(0.15, abs=0.01)


def test_a_good_local_edit_has_full_scores() -> None:
    assert judged(recoloured(), local_mask()) == {"following": 5, "preserving": 5, "quality": 5}


def test_a_good_edit_of_everything_has_full_scores() -> None:
    assert judged(darker(scene()), WHOLE) == {"following": 5, "preserving": 5, "quality": 5}


@pytest.mark.parametrize("mask", [local_mask(), WHOLE, None], ids=["local", "whole", "none"])
def test_a_copy_follows_nothing(mask: Mask | None) -> None:
    assert judged(scene(), mask)["following"] == 0


def test_a_copy_preserves_all() -> None:
    assert judged(scene(), local_mask())["preserving"] == 5


def test_with_a_black_mask_everything_had_to_stay() -> None:
    black = np.zeros((SIDE, SIDE), np.uint8)
    assert judged(scene(), black) == {"following": NOWHERE, "preserving": 5, "quality": 5}
    changed = judged(darker(scene()), black)
    assert changed["following"] == NOWHERE
    assert changed["preserving"] == 0


def test_without_a_mask_preserving_is_not_known() -> None:
    assert judged(recoloured(), None)["preserving"] == (
        "without a mask it is not known what had to stay"
    )


@pytest.mark.parametrize("mask", [local_mask(), WHOLE], ids=["local", "whole"])
def test_an_empty_picture_fails_everywhere(mask: Mask) -> None:
    assert judged(np.zeros((SIDE, SIDE, 3), np.uint8), mask) == {
        "following": 0, "preserving": 0, "quality": 0
    }  # fmt: skip


def test_another_picture_follows_and_preserves_nothing() -> None:
    found = judged(scene("rocket"), local_mask())
    assert (found["following"], found["preserving"]) == (0, 0)


def test_what_may_be_another_picture_is_not_known() -> None:
    found = judged(scene("rocket"), WHOLE)
    assert found["following"] == found["preserving"]
    assert found["following"] == "too little of the source is left to compare it with"


DAMAGE: dict[str, Callable[[Pixels], Pixels]] = {
    "colour_cast": lambda pixels: damage.colour_cast(pixels, local_mask(), 1.0),
    "blur": lambda pixels: damage.blur(pixels, local_mask(), 1.0),
    "shift": lambda pixels: damage.shift(pixels, local_mask(), 1.0),
    "zoom": lambda pixels: damage.zoom(pixels, local_mask(), 1.0),
    "noise": lambda pixels: noisy(pixels, 16),
    "blocks": lambda pixels: damage.blocks(pixels, local_mask(), 1.0),
    "banding": lambda pixels: damage.banding(pixels, local_mask(), 1.0),
    "halo": lambda pixels: damage.halo(pixels, local_mask(), 1.0),
    "ringing": lambda pixels: damage.ringing(pixels, local_mask(), 1.0),
}
PRESERVING = ("colour_cast", "blur", "shift", "zoom")


@pytest.mark.parametrize("fault", DAMAGE)
def test_a_strong_fault_costs_its_own_perspective(fault: str) -> None:
    found = judged(DAMAGE[fault](recoloured()), local_mask())
    own, other = ("preserving", "quality") if fault in PRESERVING else ("quality", "preserving")
    assert float(str(found[own])) < 3
    assert float(str(found[other])) >= 3
    assert float(str(found["following"])) >= 3


@pytest.mark.parametrize("fault", ["shift", "zoom"])
def test_a_move_is_seen_where_everything_may_change(fault: str) -> None:
    found = judged(DAMAGE[fault](darker(scene())), WHOLE)
    assert float(str(found["preserving"])) < 1


def test_a_drawings_artefacts_are_not_known() -> None:
    grey = cv2.cvtColor(scene(), cv2.COLOR_RGB2GRAY)
    edges = 255 - 4 * cv2.absdiff(grey, cv2.medianBlur(grey, 5)).astype(np.int32)
    hatched = edges - 60 * (np.indices(grey.shape).sum(0) % 4 < 2)
    drawing = np.dstack([np.clip(hatched, 0, 255).astype(np.uint8)] * 3)
    assert judged(drawing, WHOLE)["quality"] == (
        "artefacts cannot be told from the edit's own details"
    )


def test_the_target_is_never_read() -> None:
    pair = EditedPair("a", scene(), "", recoloured(), np.zeros((1, 1, 3), np.uint8), local_mask())
    (verdict,) = MetricJudge().judge([pair])
    assert {name: each.value for name, each in verdict.items()} == judged(
        recoloured(), local_mask()
    )


def test_an_edited_picture_of_another_size_is_resized() -> None:
    larger = cv2.resize(recoloured(), (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_CUBIC)
    assert float(str(judged(larger, local_mask())["preserving"])) > 4


@pytest.mark.parametrize(
    ("side", "mask", "reason"),
    [
        (31, None, "a picture of 31x31 px is too small to judge"),
        (48, WHOLE, "the mask's size is not the source's 48x48 px"),
    ],
)
def test_what_does_not_fit_is_unscored(side: int, mask: Mask | None, reason: str) -> None:
    small = scene()[:side, :side]
    (verdict,) = MetricJudge().judge([EditedPair("a", small, "", small, mask=mask)])
    assert {each.reason for each in verdict.values() if isinstance(each, Unscored)} == {reason}
    assert not any(isinstance(each, Score) for each in verdict.values())


def test_words_say_what_is_wrong() -> None:
    pair = EditedPair("a", scene(), "", DAMAGE["halo"](recoloured()), mask=local_mask())
    (verdict,) = MetricJudge().judge([pair])
    told = {name: each.text for name, each in verdict.items() if isinstance(each, Score)}
    assert told == {"following": "None", "preserving": "None", "quality": "a halo around the edit"}
