"""Means, intervals and paired differences against plain recomputation."""

import tracemalloc

import numpy as np
import pytest

from editloop.runtime.seeding import generator
from editloop.statistics import bootstrap
from editloop.statistics.bootstrap import Resamples
from editloop.statistics.means import Numbers, Paired, slice_rows, summaries, summarise


def numbers(values: np.ndarray, answered: np.ndarray | None = None) -> Numbers:
    editors, cases, metrics = values.shape
    return Numbers(
        editors=tuple("abc"[:editors]),
        metrics=tuple(f"m{index}" for index in range(metrics)),
        values=values,
        answered=np.ones((editors, cases), bool) if answered is None else answered,
        reasons={("a", "m0"): "the model is absent"},
    )


def weights_of(cases: int, resamples: int = 400) -> Resamples:
    return Resamples([str(n) for n in range(cases)], resamples, generator("test", cases))


def test_the_mean_skips_what_is_unscored_and_coverage_says_so() -> None:
    values = np.array([[[0.5], [np.nan], [1.0], [0.0]]])
    entry = summarise(numbers(values), weights_of(4))["a"]["m0"]
    assert (entry["mean"], entry["count"], entry["coverage"]) == (0.5, 3, 0.75)


def test_the_interval_is_the_percentile_interval_of_resampled_means() -> None:
    rng = generator("interval")
    values, weights = rng.normal(3, 2, (1, 30, 1)), weights_of(30)
    means = [np.repeat(values[0, :, 0], row.astype(int)).mean() for row in next(weights.blocks())]
    entry = summarise(numbers(values), weights)["a"]["m0"]
    low, high = np.percentile(means, [2.5, 97.5])
    assert (entry["low"], entry["high"]) == pytest.approx((low, high), abs=1e-6)
    assert entry["mean"] == pytest.approx(values.mean(), abs=1e-6)


def test_the_interval_covers_the_true_mean_at_about_its_rate() -> None:
    rng, weights = generator("coverage"), weights_of(80)
    hits = 0
    for _ in range(200):
        entry = summarise(numbers(rng.normal(1, 1, (1, 80, 1))), weights)["a"]["m0"]
        hits += entry["low"] <= 1 <= entry["high"]
    assert 0.88 <= hits / 200 <= 0.99


def test_a_metric_without_any_number_gives_its_reason_and_no_mean() -> None:
    entry = summarise(numbers(np.full((1, 3, 1), np.nan)), weights_of(3))["a"]["m0"]
    assert entry == {"mean": None, "reason": "the model is absent", "command": None}


def test_a_rare_number_has_an_interval_from_the_resamples_that_drew_it() -> None:
    values = np.full((1, 6, 1), np.nan)
    values[0, 2, 0] = 0.25
    entry = summarise(numbers(values), weights_of(6))["a"]["m0"]
    assert (entry["low"], entry["mean"], entry["high"], entry["count"]) == (0.25, 0.25, 0.25, 1)


def test_a_slice_is_over_its_own_rows() -> None:
    values = np.arange(6, dtype=float).reshape(1, 6, 1)
    rows = slice_rows(["night", "fog", "night", None, "fog", "fog"])
    assert list(rows) == ["fog", "night"]
    (found,) = summaries(numbers(values), weights_of(6), [rows["night"]])
    entry = found["a"]["m0"]
    assert (entry["mean"], entry["count"], entry["coverage"]) == (1.0, 2, 1.0)


def test_paired_differences_are_tighter_than_unpaired_intervals() -> None:
    rng = generator("paired")
    base = rng.normal(0, 5, 60)
    values = np.stack([base + 0.5 + rng.normal(0, 0.1, 60), base])[..., None]
    both, weights = numbers(values), weights_of(60)
    found = Paired(both, weights).compare("a", "b", "m0")
    assert found is not None
    assert found["difference"] == pytest.approx((values[0] - values[1]).mean(), abs=2e-6)
    assert 0 < found["low"] < 0.5 < found["high"] < 1
    separate = summarise(both, weights)
    assert separate["a"]["m0"]["low"] < separate["b"]["m0"]["high"]


def test_comparisons_use_the_cases_that_every_editor_answered() -> None:
    values = np.array([[[1.0], [2.0], [9.0]], [[0.0], [0.0], [0.0]], [[5.0], [5.0], [np.nan]]])
    answered = np.array([[True] * 3, [True] * 3, [True, True, False]])
    found = Paired(numbers(values, answered), weights_of(3)).compare("a", "b", "m0")
    assert found is not None
    assert (found["first"], found["cases"]) == (1.5, 2)


def test_a_comparison_without_numbers_is_not_made() -> None:
    values = np.array([[[1.0], [2.0]], [[np.nan], [np.nan]]])
    assert Paired(numbers(values), weights_of(2)).compare("a", "b", "m0") is None


def test_results_do_not_depend_on_the_order_of_cases() -> None:
    rng = generator("order")
    values, order = rng.random((2, 40, 3)), rng.permutation(40)
    weights = weights_of(40)
    names = [str(n) for n in order]
    drawn = Resamples(names, 400, generator("test", 40))
    shuffled = summarise(numbers(values[:, order]), drawn)
    assert shuffled == summarise(numbers(values), weights)


def test_blocks_of_resamples_change_no_bit(monkeypatch) -> None:
    rng = generator("blocks")
    values = rng.random((2, 30, 3))
    values[0, ::3, 1] = np.nan
    whole = weights_of(30)
    monkeypatch.setattr(bootstrap, "_BLOCK", 30 * 7)
    blocks = weights_of(30)
    assert [len(each) for each in blocks.blocks()] == [7] * 57 + [1]
    selections = [np.arange(30), np.arange(0, 30, 2), np.array([4])]
    found = [summaries(numbers(values), each, selections) for each in (whole, blocks, blocks)]
    assert found[0] == found[1] == found[2]
    pairs = [Paired(numbers(values), each).compare("a", "b", "m1") for each in (whole, blocks)]
    assert pairs[0] == pairs[1]


def test_memory_does_not_grow_with_the_resamples(monkeypatch) -> None:
    monkeypatch.setattr(bootstrap, "_BLOCK", 2**16)
    both = numbers(np.ones((1, 2000, 1)))
    tracemalloc.start()
    summarise(both, weights_of(2000, resamples=2000))  # 32 MB of weights
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6e6
