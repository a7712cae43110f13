"""The fake server for a data set, as `editloop fake-server` starts it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from editloop.errors import RecipeError
from editloop.generation.fake_server import serve
from editloop.judges.judge_data import judge
from editloop.loop import run as loop
from editloop.loop.recipe import Recipe
from editloop.schema import PERSPECTIVES
from editloop.settings import validate
from editloop.storage.samples import read_samples

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "edits"
    recipe = {
        "name": "edits",
        "sources": [{"kind": "photos", "size": 48, "train": 6, "heldout": 2}],
        "build": [{"kind": "darkroom"}],
    }
    loop.run(validate(Recipe, recipe, where="test"), out, only=("build",), workers=1)
    return out


def judged(data: Path, base_url: str, folder: Path) -> dict[str, list[float]]:
    """Return the scores of each edit by the model at an address."""
    spec = f"vlm:fake?base_url={base_url}&ledger={folder / 'ledger.sqlite'}&rubrics=combined"
    judge(data, spec, folder / "out", workers=1)
    return {
        sample.id: [sample.scores[name].value for name in PERSPECTIVES]
        for split in ("train", "heldout")
        for sample in read_samples(folder / "out/data", split)
    }


def test_it_judges_all_edits_of_a_data_set_by_their_truth(data: Path, tmp_path: Path) -> None:
    with serve(data) as server:
        found = judged(data, server.base_url, tmp_path)
    judge(data, "truth", tmp_path / "truth", workers=1)
    due = {
        sample.id: [sample.scores[name].value for name in PERSPECTIVES]
        for split in ("train", "heldout")
        for sample in read_samples(tmp_path / "truth/data", split)
    }
    assert list(found) == list(due)
    assert len(found) == 8
    for name, scores in found.items():
        assert scores == pytest.approx(due[name], abs=0.05)


def test_its_faults_are_those_of_a_share_of_requests(data: Path) -> None:
    with serve(data, faults=1.0) as server:
        request = json.dumps({"messages": [{"role": "user", "content": "hello"}]}).encode()
        assert [server.take(request)[1] is None for _ in range(3)] == [False, False, True]


def test_data_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such folder of data"):
        serve(tmp_path / "gone")


def test_a_port_that_is_taken_is_refused(data: Path) -> None:
    with serve(data) as server:
        port = int(server.base_url.rpartition(":")[2].removesuffix("/v1"))
        with pytest.raises(RecipeError, match="cannot listen on this port"):
            serve(data, port=port)


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_the_command_says_where_it_answers_and_what_it_saw(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from editloop.cli import main; main()", "fake-server"]
    with subprocess.Popen(
        [*command, str(data), "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        base_url = running.stdout.readline().split()[-4].rstrip(";")
        assert len(judged(data, base_url, tmp_path)) == 8
        running.send_signal(signal.SIGINT)
        assert running.stdout.read() == "8 requests, 0 met a fault\n"
    assert running.returncode == 0
