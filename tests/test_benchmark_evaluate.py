"""The benchmark of evaluating, whole: tiny encoders, and a stand-in for the released evaluator."""

import shutil
from pathlib import Path

import pytest

from benchmark_runs import run_benchmark
from tiny_encoders import save_clip, save_dino

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str]:
    folder = tmp_path_factory.mktemp("benchmark")
    peer = folder / "peer"
    peer.mkdir()
    shutil.copy(Path(__file__).with_name("fake_evaluator.py"), peer / "image_eval.py")
    clip, dino = save_clip(folder / "clip"), save_dino(folder / "dino")
    small = "--sessions 3 --size 48 --repeats 1 --growth 1 --threads 1 --precisions fp32"
    return run_benchmark("evaluate", folder, small, peer=peer, clip=clip, dino=dino, folder=folder)


def test_both_give_the_same_numbers(ran: tuple[dict, str]) -> None:
    limits = ran[0]["limits"]["fp32"]
    differences = ran[0]["differences"]["fp32"]
    assert set(differences) == {"all-turns", "final-turn"}
    for metrics in differences.values():
        assert set(metrics) == set(limits)
        assert all(each["difference"] <= limits[name] for name, each in metrics.items())
    assert max(ran[0]["embeddings"]["fp32"].values()) < 1e-5


def test_what_both_did_is_counted(ran: tuple[dict, str]) -> None:
    ours, released = ran[0]["rows"]["fp32"], ran[0]["rows"]["released"]
    assert ran[0]["pairs"] == 6 + 3  # sessions of one, two and three turns
    assert (ours["images_encoded"], ours["texts_encoded"]) == (2 * (6 + 9), 6)
    assert (released["images_encoded"], released["texts_encoded"]) == (4 * 9, 9)
    assert released["opens"] == released["decodes"] == 4 * 9
    assert ours["decodes"] >= 6 + 9
    assert released["standins"] == ["clip", "torchvision", "pyiqa", "torch.hub"]


def test_a_second_run_does_nothing(ran: tuple[dict, str]) -> None:
    again = ran[0]["again"]
    assert (again["encodes"], again["edits"], again["same_bytes"]) == (0, 0, True)


def test_the_table_tells_the_ratio(ran: tuple[dict, str]) -> None:
    assert "times as fast as released" in ran[1]
    assert "TOO MUCH" not in ran[1]
