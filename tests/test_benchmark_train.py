"""The benchmark of training, whole: a tiny base, and a stand-in for diffusers' script."""

from pathlib import Path

import pytest

from benchmark_runs import run_benchmark
from tiny_pipelines import save_instruct_pix2pix

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str]:
    folder = tmp_path_factory.mktemp("benchmark")
    peer = Path(__file__).with_name("fake_trainer.py")
    base = save_instruct_pix2pix(folder / "base", in_channels=4)
    small = "--size 32 --repeats 1 --steps 3 --threads 1 --precisions fp32"
    return run_benchmark("train", folder, small, peer=peer, base=base, folder=folder / "world")


def test_the_loss_is_that_of_the_scripts_formula(ran: tuple[dict, str]) -> None:
    loss = ran[0]["loss"]
    assert min(loss["dropped"]) > 0
    assert loss["difference"] < 1e-6 < loss["with_other_pictures"]


def test_what_steps_encode_is_counted(ran: tuple[dict, str]) -> None:
    ours, peer = ran[0]["rows"]["fp32"], ran[0]["rows"]["diffusers fp32"]
    assert (ours["pictures"], ours["texts"]) == (0, 2)
    assert (peer["pictures"], peer["texts"]) == (4, 3)
    assert len(ours["steps"]) == len(peer["steps"]) == 2
    assert ours["gflop"] < peer["gflop"]
    assert ran[0]["standins"] == ["torchvision"]


def test_the_cache_is_charged(ran: tuple[dict, str]) -> None:
    cache = ran[0]["caches"]["fp32"]
    assert (cache["samples"], cache["pictures"]) == (8, 8 * 2 * 2)  # mirror images too


def test_the_table_tells_the_ratio(ran: tuple[dict, str]) -> None:
    assert "fp32 than diffusers fp32" in ran[1]
    assert "TOO MUCH" not in ran[1]
    assert "NOT FINITE" not in ran[1]
