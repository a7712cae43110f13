"""The truth judge without faults: perfect edits, copies, black and shuffled pictures."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from truth_cases import Case, cases, scores, values

from editloop.darkroom.operations import OPERATIONS
from editloop.darkroom.truth import KnownTruthJudge
from editloop.schema import PERSPECTIVES, EditedPair, EditType, Score, Unscored
from editloop.sources.scenes import photo

SMALL = [("astronaut", 64), ("coffee", 64), ("rocket", 64)]
LARGE = ("chelsea", 256)


def named(pair: tuple[str, int]) -> str:
    return f"{pair[0]}-{pair[1]}"


@pytest.fixture(params=[*SMALL, pytest.param(LARGE, marks=pytest.mark.slow)], ids=named)
def some(request: pytest.FixtureRequest) -> tuple[Case, ...]:
    return cases(*request.param)


@pytest.mark.slow
def test_every_operation_is_among_the_cases() -> None:
    shown = {case.operation for scene, size in [*SMALL, LARGE] for case in cases(scene, size)}
    assert shown == set(OPERATIONS)


def test_a_perfect_edit_has_full_scores(some: tuple[Case, ...]) -> None:
    for case in some:
        for score in scores(case, case.truth.target).values():
            assert score.value > 4.99, case.name
            assert (score.passed, score.text) == (True, "None"), case.name


def test_a_copy_of_the_source_fails_following_only(some: tuple[Case, ...]) -> None:
    for case in some:
        got = scores(case, case.truth.source)
        assert got["following"].value == pytest.approx(0, abs=1e-3), case.name
        assert got["following"].text == "the edit was not executed", case.name
        assert got["preserving"].value > 4.99, case.name
        assert got["quality"].value > 4.99, case.name
        assert [got[name].passed for name in PERSPECTIVES] == [False, True, True]


def test_a_black_picture_fails_all(some: tuple[Case, ...]) -> None:
    for case in some:
        got = scores(case, np.zeros_like(case.truth.source))
        assert not any(score.passed for score in got.values()), (case.name, got)


@pytest.mark.slow
def test_another_cases_picture_fails_following_and_preserving(some: tuple[Case, ...]) -> None:
    others = cases("flower", 64)
    for case, other in zip(some, others[7:] + others[:7], strict=False):
        edited = cv2.resize(other.truth.target, case.truth.source.shape[1::-1])
        got = scores(case, edited)
        assert not got["following"].passed, (case.name, got)
        assert not got["preserving"].passed, (case.name, got)


def test_half_of_an_edit_is_half_followed(some: tuple[Case, ...]) -> None:
    for case in some:
        if case.operation == "negative":  # halfway to it is plain grey
            continue
        middle = (case.truth.source.astype(np.float32) + case.truth.target) / 2
        got = values(case, np.rint(middle).astype(np.uint8))
        assert 2.2 < got["following"] < 2.95, case.name
        assert min(got["preserving"], got["quality"]) > 4.5, case.name


SIGMAS = (0.6, 1.0, 2.0)


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma))


def _pixels(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _means(judged: list[dict[str, float]], perspective: str) -> list[float]:
    """Return the mean scores at each of SIGMAS; the verdicts cycle through them."""
    numbers = np.array([values[perspective] for values in judged])
    return [float(mean) for mean in numbers.reshape(-1, len(SIGMAS)).mean(0)]


@pytest.mark.slow
def test_a_slightly_soft_edit_follows_less_by_degrees() -> None:
    """Judge a small model's typical output: the right change, but blurred."""
    judged = [
        values(case, _pixels(case.truth.source + _blurred(change, sigma)))
        for case in cases("astronaut", 64)
        for change in [case.truth.target.astype(np.float32) - case.truth.source]
        for sigma in SIGMAS
    ]
    following = _means(judged, "following")
    assert following == sorted(following, reverse=True)
    assert np.mean([one["following"] >= 3 for one in judged[:: len(SIGMAS)]]) > 0.95
    assert min(_means(judged, "quality")) > 4
    assert min(_means(judged, "preserving")) > 4.9


def test_a_blurred_picture_loses_quality_by_degrees() -> None:
    judged = [
        values(case, _pixels(_blurred(case.truth.target, sigma)))
        for case in cases("astronaut", 64)
        if case.edit_type is EditType.GLOBAL
        for sigma in SIGMAS
    ]
    quality = _means(judged, "quality")
    assert quality == sorted(quality, reverse=True)
    assert quality[0] > 4
    assert quality[-1] < 2.5
    assert min(_means(judged, "preserving")) > 4.5


def test_scores_do_not_depend_on_the_batch() -> None:
    pairs = [
        EditedPair(case.name, case.truth.source, "", case.truth.source, case.truth.target)
        for case in cases("coffee", 64)[:4]
    ]
    together = KnownTruthJudge().judge(pairs)
    assert together == [KnownTruthJudge().judge([pair])[0] for pair in pairs]


def _pair() -> EditedPair:
    truth = cases("coffee", 64)[0].truth
    return EditedPair("a", truth.source, "", truth.target, truth.target, truth.mask)


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (replace(_pair(), target=None), "no target"),
        (replace(_pair(), target=_pair().source[1:]), "target's size 64x63"),
        (replace(_pair(), edited=_pair().source[:, 2:]), "edited size 62x64"),
        (replace(_pair(), mask=np.zeros((3, 5), np.uint8)), "mask's size 5x3"),
    ],
)
def test_what_cannot_be_judged_is_unscored_with_the_reason(pair: EditedPair, reason: str) -> None:
    (verdict,) = KnownTruthJudge().judge([pair])
    assert set(verdict) == set(PERSPECTIVES)
    for score in verdict.values():
        assert isinstance(score, Unscored)
        assert reason in score.reason


def test_an_edit_that_cannot_be_seen_leaves_following_unscored() -> None:
    source = _pair().source
    pair = EditedPair("a", source, "", source, source, np.full(source.shape[:2], 255, np.uint8))
    (verdict,) = KnownTruthJudge().judge([pair])
    assert isinstance(verdict["following"], Unscored)
    assert isinstance(verdict["preserving"], Score)


def test_a_missing_mask_means_everywhere_and_a_black_one_nowhere() -> None:
    everywhere, nowhere = (np.full((64, 64), value, np.uint8) for value in (255, 0))
    judge, pair = KnownTruthJudge(), _pair()
    assert judge.judge([replace(pair, mask=None)]) == judge.judge([replace(pair, mask=everywhere)])
    (verdict,) = judge.judge([replace(pair, mask=nowhere)])
    assert all(isinstance(each, Unscored) for each in verdict.values())


@pytest.mark.parametrize("size", [(8, 8), (9, 200), (37, 53), (130, 17)])
def test_odd_sizes_are_judged(size: tuple[int, int]) -> None:
    height, width = size
    source = cv2.resize(_pair().source, (width, height))
    target = 255 - source
    mask = np.full((height, width), 255, np.uint8)
    mask[: height // 2] = 0
    (verdict,) = KnownTruthJudge().judge([EditedPair("a", source, "", source, target, mask)])
    for name, passed in zip(PERSPECTIVES, (False, True, True), strict=True):
        score = verdict[name]
        assert isinstance(score, Score)
        assert score.passed is passed


@pytest.mark.parametrize("size", [(512, 600), (600, 512), (77, 131), (333, 65)])
def test_pictures_of_any_shape_are_judged(size: tuple[int, int]) -> None:
    source = np.ascontiguousarray(cv2.resize(photo("coffee"), size[::-1]))
    mask = np.full(size, 255, np.uint8)
    pair = EditedPair("a", source, "make it darker", source, source // 2, mask)
    assert set(KnownTruthJudge().judge([pair])[0]) == set(PERSPECTIVES)
