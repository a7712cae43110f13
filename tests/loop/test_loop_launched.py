"""Commands that a launcher starts on two processes: the bytes of one, whatever dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from editloop.loop import run as loop
from editloop.loop.recipe import Recipe
from editloop.schema import Json
from editloop.settings import validate
from editloop.storage.verify import verify
from kernel_faults import published
from kernel_parts import logged

pytestmark = pytest.mark.slow

LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
SHARD, SHARDS = 64, 6
SOURCE = {"name": "list", "kind": "kernel_parts:ListSource", "count": {"train": SHARD * SHARDS}}


def written(folder: Path, **content: Any) -> Path:
    """Write a recipe; return its path."""
    path = folder / "recipe.json"
    path.write_text(json.dumps({"name": "launched", **content}))
    return path


def run_here(recipe: Path, out: Path, only: Sequence[str] = ()) -> dict[str, Json]:
    made = validate(Recipe, json.loads(recipe.read_text()), where="the test")
    return loop.run(made, out, workers=1, only=only)


def launched(*arguments: Any) -> subprocess.Popen[str]:
    """Start a command by a launcher, on two processes."""
    return subprocess.Popen(
        [sys.executable, *LAUNCHER, "-m", "editloop", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def finished(process: subprocess.Popen[str]) -> str:
    """Return what a command printed, which has no error."""
    printed, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    return printed


def data_of(out: Path) -> dict[str, str]:
    """Return the published data: hashes by path."""
    files = published(out)
    return {name: files[name] for name in files if name.startswith(("data/", "rejects/"))}


def test_two_processes_build_the_bytes_of_one_whatever_an_input_does(tmp_path: Path) -> None:
    log = tmp_path / "log"
    steps = [
        {"name": "trouble", "kind": "kernel_parts:TroubleStep", "on": {"0070": "kill"}},
        {"name": "logged", "kind": "kernel_parts:LoggedStep", "log": str(log)},
        {"name": "mixed", "kind": "kernel_parts:MixedStep"},
    ]
    recipe = written(tmp_path, sources=[SOURCE], build=steps)
    command = ("run", recipe, "--out", tmp_path / "two", "--workers", 1, "--only", "build")
    printed = finished(launched(*command))
    assert printed.count("mixed, worker-killed: train/0070") == 1, printed
    workers = {line.split(" | ")[1] for line in logged(log) if "setup" in line}
    assert len(workers) >= 2  # one in each process
    run_here(recipe, tmp_path / "one", ["build"])
    assert data_of(tmp_path / "two") == data_of(tmp_path / "one")
    assert verify(tmp_path / "two") == []


def test_a_process_that_dies_ends_all_and_the_same_command_goes_on(tmp_path: Path) -> None:
    log, fourth = tmp_path / "log", 3 * SHARD
    step = {"name": "logged", "kind": "kernel_parts:LoggedStep", "log": str(log)}
    waiting = {**step, "meets": {f"train/{fourth:04d}": "go on"}}
    recipe = written(tmp_path, sources=[SOURCE], build=[waiting])
    command = ("run", recipe, "--out", tmp_path / "two", "--workers", 1, "--only", "build")
    process = launched(*command)
    while not any(f" train/{fourth:04d} " in line for line in logged(log)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    children = psutil.Process(process.pid).children()
    ranks = [each for each in children if "editloop" in each.cmdline()]
    max(ranks, key=lambda each: each.create_time()).kill()
    process.communicate()
    assert process.returncode != 0
    with log.open("a") as file:
        file.write("go on\n")
    finished(launched(*command))
    inputs = [line.split(" ")[1] for line in logged(log) if "train/" in line]
    assert len(set(inputs)) == SHARD * SHARDS
    assert len(inputs) <= SHARD * (SHARDS + 2)  # what was committed by then is not done again
    assert verify(tmp_path / "two") == []


def test_the_whole_loop_runs_on_two_processes(tmp_path: Path) -> None:
    recipe = written(
        tmp_path,
        sources=[{"kind": "photos", "size": 48, "train": 130, "heldout": 8}],
        build=[{"kind": "darkroom", "operations": ["sepia", "night"]}],
        train=[{"name": "small", "kind": "pocket", "steps": 4, "batch": 4, "precision": "fp32"}],
        evaluate=[{"kind": "darkroom", "editors": ["copy", "small=diffusion:models/small"]}],
    )
    printed = finished(launched("run", recipe, "--out", tmp_path / "two", "--workers", 1))
    assert printed.count("report:") == 1
    alone = run_here(recipe, tmp_path / "one")
    found = loop.results(tmp_path / "two")
    assert data_of(tmp_path / "two") == data_of(tmp_path / "one")
    assert found["build"] == alone["build"]
    assert found.keys() == alone.keys()
    losses = [each["train"]["small"]["final_loss"] for each in (found, alone)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)  # the order of sums differs


def test_an_error_is_printed_once(tmp_path: Path) -> None:
    process = launched("show", tmp_path / "nothing")
    printed, errors = process.communicate()
    assert process.returncode != 0
    assert (printed + errors).count("error: ") == 1, errors
