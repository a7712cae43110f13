"""The benchmark of engines, whole: two small builds by each."""

import pytest

from benchmark_runs import run_benchmark

pytestmark = pytest.mark.slow


def test_engines_take_turns_and_the_ratio_is_that_of_the_medians(tmp_path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    found, printed = run_benchmark("scale", tmp_path, "--shards 6 --shard 2 --repeats 1")
    assert set(found["runs"]) == {"processes", "ray:local"}
    rates = [found["medians"][name]["edits_per_second"] for name in ("processes", "ray:local")]
    assert found["ratio"] == pytest.approx(rates[1] / rates[0], abs=0.01)
    assert f"ray / processes: {found['ratio']:.2f}" in printed
