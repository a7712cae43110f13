"""The benchmark of pairs, whole: a tiny model, beside a reference with attention maps."""

import pytest

from benchmark_runs import run_benchmark
from tiny_baselines import deep_unet, save_stable_diffusion

pytestmark = pytest.mark.slow


def test_pictures_are_the_reference_s_with_fewer_calls(tmp_path) -> None:
    model = save_stable_diffusion(tmp_path / "model", deep_unet())
    small = "--size 32 --steps 3 --batch 3 --repeats 1 --threads 1"
    found, printed = run_benchmark("pairs", tmp_path, small, model=model)
    ours, reference = found["rows"]["ours"], found["rows"]["reference"]
    assert found["apart"]["max"] <= 1
    assert (ours["calls"], reference["calls"]) == (3, 9)
    assert ours["rows"] == reference["rows"] == 36
    assert ours["decodes"] == reference["decodes"] == 6
    assert f"{reference['seconds'] / ours['seconds']:.2f} times as fast" in printed
