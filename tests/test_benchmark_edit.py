"""The benchmark of editing, whole: a tiny model, beside diffusers' own pipeline."""

import pytest

from benchmark_runs import run_benchmark
from tiny_pipelines import save_instruct_pix2pix

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str]:
    folder = tmp_path_factory.mktemp("benchmark")
    model = save_instruct_pix2pix(folder / "model")
    small = "--pairs fp32/fp32 --size 32 --steps 4 --repeats 1 --threads 1"
    return run_benchmark("edit", folder, small, model=model, folder=folder)


def test_ours_and_diffusers_pictures_are_one(ran: tuple[dict, str]) -> None:
    pair = ran[0]["pairs"][0]
    assert all(apart["max"] <= 1 for apart in pair["apart"].values())
    assert pair["lossy"]["reused-guidance"]["max"] > 1


def test_what_the_network_predicts_is_counted(ran: tuple[dict, str]) -> None:
    rows = {name: row["rows"] for name, row in ran[0]["pairs"][0]["rows"].items()}
    steps = rows["ours@1.5"] // 3
    assert rows["diffusers@1.5"] == rows["diffusers@1.0"] == 3 * steps
    assert rows["ours@1.0"] == 2 * steps
    assert rows["reused-guidance"] < 3 * steps


def test_the_table_tells_the_ratios(ran: tuple[dict, str]) -> None:
    rows = ran[0]["pairs"][0]["rows"]
    both, fewer = (rows[f"ours@{guidance}"]["seconds"] for guidance in (1.5, 1.0))
    assert f"{both / fewer:5.2f}" in ran[1]
    assert f"{rows['diffusers@1.5']['seconds'] / both:5.2f}" in ran[1]
