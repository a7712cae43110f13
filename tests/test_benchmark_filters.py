"""The benchmark of filtering, whole, with tiny encoders."""

import pytest

from benchmark_runs import run_benchmark
from tiny_encoders import save_clip, save_dinov2

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("benchmark")
    encoders = {"clip": save_clip(folder / "clip"), "dinov2": save_dinov2(folder / "dinov2")}
    small = "--sources 3 --candidates 10 --size 64 --repeats 1 --threads 1"
    return run_benchmark("filters", folder, small, folder=folder, **encoders)[0]


def test_a_fifth_is_kept_and_the_same_by_both(found: dict) -> None:
    assert found["pairs"] == 30
    assert 0 < found["kept"] <= 6
    assert found["differently_kept"] == {"loop": [], "fp32": []}
    assert set(found["times_as_fast"]["fp32"]) == {"loop"}


def test_the_cascade_encodes_each_picture_and_text_at_most_once(found: dict) -> None:
    counts = found["encoded"]["fp32"]
    assert counts["images"] < 2 * (3 + 30)
    assert counts["texts"] <= 3 + 30
