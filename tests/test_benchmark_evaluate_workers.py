"""The benchmark of evaluating in several workers, whole, on tiny data."""

from pathlib import Path

import pytest

from benchmark_runs import run_benchmark

pytestmark = pytest.mark.slow


def test_the_number_of_workers_changes_no_byte(tmp_path: Path) -> None:
    small = "--sessions 20 --size 48 --repeats 1 --workers 2"
    found, _ = run_benchmark("evaluate_workers", tmp_path, small, folder=tmp_path)
    assert found["same_bytes"]
    assert set(found["seconds"]) == {"1", "2"}
