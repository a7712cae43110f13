"""The benchmark of judging over a bad line, whole and small; it checks all that it claims."""

import pytest

from benchmark_runs import run_benchmark

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What it writes of a few pairs and many faults."""
    folder = tmp_path_factory.mktemp("benchmark")
    return run_benchmark("judge_faults", folder, "--pairs 30 --size 48 --rate 0.12")[0]


def test_every_request_is_counted(found: dict) -> None:
    bad = found["with_faults"]
    assert bad["attempts_counted"] == bad["requests"]
    assert bad["requests"] == found["questions"] + sum(bad["faults"].values())
    assert sum(bad["faults"].values()) > 4


def test_scores_are_those_without_faults(found: dict) -> None:
    assert found["with_faults"]["same_as_without_faults"]
    assert found["killed"]["same_as_without_faults"]


def test_a_second_run_makes_no_call(found: dict) -> None:
    assert found["with_faults"]["second_run_requests"] == 0


def test_what_a_kill_repeats_was_in_flight(found: dict) -> None:
    killed = found["killed"]
    assert killed["replies_repeated"] <= killed["in_flight_at_most"]
    assert killed["requests_before"] < killed["requests"]
