"""The benchmark of large data sets, small; it checks all that it claims."""

import pytest

from benchmark_runs import run_benchmark

pytestmark = pytest.mark.slow


def test_every_stage_is_measured_at_every_size(tmp_path) -> None:
    found = run_benchmark("large", tmp_path, "--records 100 600")[0]
    rows = [(row["stage"], row["records"]) for row in found["rows"]]
    assert rows == [
        (stage, count) for count in (100, 600) for stage in ("build", "list", "shuffle")
    ]
    assert all(row["peak_mib"] > 0 for row in found["rows"])
