"""Verdicts are asked for once, and cached unless they are missing for a transient cause."""

import numpy as np
import pytest

from calibration_judges import BusyJudge, CountingJudge
from editloop.errors import CorruptError, StoreError
from editloop.judges.calibration.asking import CachedJudge
from editloop.judges.calibration.frozen import freeze, read_frozen
from editloop.schema import Captions, EditedPair, EditType, Score
from editloop.storage.shards import ShardStore


@pytest.fixture
def cases():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 70, 8, 8, 3), dtype=np.uint8)
    return [
        (EditedPair(f"p{at}", pictures[0, at], "make it", pictures[1, at]), f"p{at}")
        for at in range(70)
    ]


@pytest.fixture(autouse=True)
def _nothing_was_shown():
    CountingJudge.shown, CountingJudge.stops_at = 0, -1


def counting(store, drift=0.0, **options):
    judge = CountingJudge(CountingJudge.Settings(drift=drift))
    return CachedJudge(judge, ShardStore(store), **options)


def test_a_second_asking_asks_nothing_and_says_the_same(cases, tmp_path) -> None:
    first = counting(tmp_path).judged("truth", cases)
    again = counting(tmp_path)
    second = again.judged("truth", cases)
    assert (CountingJudge.shown, again.asked) == (70, 0)
    for name in first.points:
        assert np.array_equal(first.points[name], second.points[name])
        assert np.array_equal(first.passed[name], second.passed[name])
    assert (first.texts, first.reasons) == (second.texts, second.reasons)


def test_another_version_of_a_judge_is_asked_again(cases, tmp_path) -> None:
    counting(tmp_path).judged("truth", cases)
    changed = counting(tmp_path, 0.5)
    changed.judged("truth", cases)
    assert changed.asked == 70


def test_a_repeat_is_asked_for_itself(cases, tmp_path) -> None:
    counting(tmp_path).judged("truth", cases)
    repeat = counting(tmp_path, repeat=1)
    repeat.judged("truth", cases)
    assert repeat.asked == 70


def test_a_pair_that_changed_is_asked_about_again_with_its_batch_alone(cases, tmp_path) -> None:
    counting(tmp_path).judged("truth", cases)
    pair, fact = cases[69]
    cases[69] = (EditedPair("p69", pair.source, "make it blue", pair.edited), fact)
    changed = counting(tmp_path)
    changed.judged("truth", cases)
    assert changed.asked == 6  # the second batch of 64


def test_after_an_interruption_only_what_was_not_kept_is_asked(cases, tmp_path) -> None:
    CountingJudge.stops_at = 64
    with pytest.raises(KeyboardInterrupt):
        counting(tmp_path).judged("truth", cases)
    CountingJudge.stops_at = -1
    rest = counting(tmp_path)
    assert len(rest.judged("truth", cases).facts) == 70
    assert rest.asked == 6


def test_a_verdict_that_is_missing_for_now_is_not_kept(cases, tmp_path) -> None:
    for _ in range(2):
        asking = CachedJudge(BusyJudge(BusyJudge.Settings()), ShardStore(tmp_path))
        judged = asking.judged("truth", cases)
        assert (asking.open, asking.asked) == (True, 70)
        assert set(judged.reasons["quality"]) == {"failed for now: no answer"}


def test_a_frozen_set_is_read_back_as_it_was(tmp_path) -> None:
    rng = np.random.default_rng(1)
    source, edited, target = rng.integers(0, 256, (3, 16, 20, 3), dtype=np.uint8)
    mask = np.zeros((16, 20), np.uint8)
    mask[4:8] = 255
    whole = EditedPair(
        "a", source, "rot\u202e ☃", edited, target, mask, Captions("x", None), EditType.ADD
    )
    bare = EditedPair("b", source, "go", edited)
    judged = counting(tmp_path / "store").judged("f", [(whole, "e1"), (bare, "e2")])
    judged.points["quality"][1] = judged.passed["quality"][1] = np.nan
    freeze(tmp_path / "frozen.parquet", [(whole, "e1"), (bare, "e2")], judged, ("who", "v 1"))
    found = read_frozen(tmp_path / "frozen.parquet")
    assert (found.judge, found.version, found.edits) == ("who", "v 1", ["e1", "e2"])
    for name, column in judged.points.items():
        assert np.array_equal(found.judged.points[name], column, equal_nan=True)
    for pair, (read, _) in zip((whole, bare), found.pairs(), strict=True):
        assert (read.id, read.instruction, read.captions, read.edit_type) == (
            pair.id,
            pair.instruction,
            pair.captions,
            pair.edit_type,
        )
        for name in ("source", "edited", "target", "mask"):
            assert np.array_equal(getattr(read, name), getattr(pair, name))


def test_what_is_no_frozen_set_is_refused(tmp_path) -> None:
    path = tmp_path / "frozen.parquet"
    with pytest.raises(StoreError, match="cannot read a frozen set"):
        read_frozen(path)
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(CorruptError, match="not a frozen set"):
        read_frozen(path)


def test_scores_that_calibration_does_not_know_are_left_out(cases, tmp_path) -> None:
    class Wordy(CountingJudge):
        perspectives = ("following", "following_spread")

        def judge(self, batch):
            return [{"following": Score(5.0), "following_spread": Score(0.0)} for _ in batch]

    asking = CachedJudge(Wordy(Wordy.Settings()), ShardStore(tmp_path))
    assert asking.judged("truth", cases).perspectives == ("following",)
