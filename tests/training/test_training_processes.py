"""Two processes train the same model as one: started by torch's launcher, over gloo."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.utils import FullyShardedDataParallelPlugin
from safetensors.torch import load_file

import editloop
import ending_ranks
import spread_training
from diffusion_runs import saved_base, training_run
from editloop.errors import TrainingError
from editloop.training.sharding import check_sharding

pytestmark = pytest.mark.slow

LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
SPREAD = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A data set, a base, and the model that one process trains from them."""
    made = tmp_path_factory.mktemp("processes")
    training_run(made / "run")
    saved_base("sd", made / "base")
    editloop.train(out=made / "one", **settings(made))
    return made


def settings(folder):
    return {**spread_training.SETTINGS, "data": str(folder / "run"), "base": str(folder / "base")}


def started(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *LAUNCHER, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def check_alike(one, other):
    """Assert that two runs' models have the same losses and weights up to rounding.

    Other noise or another order would change most weights by about a learning rate: 1e-3.
    """
    models = [each / "models" / "editor" for each in (one, other)]
    lines = [
        [json.loads(line) for line in (each / "metrics.jsonl").read_text().splitlines()]
        for each in models
    ]
    assert [line["step"] for line in lines[0]] == [line["step"] for line in lines[1]] == [3, 6]
    for alone, shared in zip(*lines, strict=True):
        assert abs(alone["loss"] - shared["loss"]) < 1e-5
        assert abs(alone["validation_loss"] - shared["validation_loss"]) < 1e-5
    for part in ("unet", "reward"):
        files = [each / part / "diffusion_pytorch_model.safetensors" for each in models]
        weights = [load_file(each) for each in files]
        assert weights[0].keys() == weights[1].keys()
        for name, tensor in weights[0].items():
            apart = (tensor - weights[1][name]).abs()
            assert apart.mean() < 1e-6, name
            assert apart.max() < 1e-4, (
                name
            )  # Adam scales a gradient's rounding up where it is near 0


def test_two_processes_train_as_one_does(folder) -> None:
    conditions = ["--conditions", ",".join(spread_training.SETTINGS["conditions"])]
    usual = spread_training.SETTINGS
    values = [f"{name}={value}" for name, value in usual.items() if name != "conditions"]
    sets = [word for each in values for word in ("--set", each)]
    paths = ["--data", folder / "run", "--base", folder / "base", "--out", folder / "two"]
    ended = started("-m", "editloop", "train", *paths, *conditions, *sets)
    assert ended.returncode == 0, ended.stderr
    check_alike(folder / "one", folder / "two")


def test_two_processes_that_spread_the_network_train_as_one_does(folder) -> None:
    ended = started(spread_training.__file__, folder, **SPREAD)
    assert ended.returncode == 0, ended.stderr
    check_alike(folder / "one", folder / "whole")
    held = json.loads((folder / "held.json").read_text())
    results = json.loads((folder / "whole" / "results.json").read_text())
    assert max(held) <= 0.51 * results["train"]["editor"]["parameters"]
    names = ("whole", "parts", "lora")
    whole, parts, lora = (folder / name / "models" / "editor" for name in names)
    files = sorted(path for path in whole.rglob("*") if path.is_file())
    assert [path.relative_to(whole) for path in files] == sorted(
        path.relative_to(parts) for path in parts.rglob("*") if path.is_file()
    )
    for path in files:
        assert path.read_bytes() == (parts / path.relative_to(whole)).read_bytes(), path
    assert load_file(lora / "pytorch_lora_weights.safetensors")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads' names are read there")
@pytest.mark.parametrize("how", ["trained", "failed"])
def test_no_thread_of_the_process_group_is_left_when_python_ends(tmp_path, how) -> None:
    ended = started(ending_ranks.__file__, tmp_path, how)
    assert ended.returncode == (how == "failed"), ended.stderr
    assert ("a failure that is meant" in ended.stderr) == (how == "failed")
    for rank in range(2):
        computed, left = (
            [name for name in json.loads(path.read_text()) if "gloo" in name]
            for path in (tmp_path / f"{when}-{rank}.json" for when in ("computed", "ended"))
        )
        assert computed
        assert not left


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"FSDP_VERSION": "1"}, "set fsdp_version: 2"),
        ({"FSDP_OFFLOAD_PARAMS": "true"}, "set fsdp_offload_params: false"),
        ({}, "set optimiser: {kind: adamw}"),
    ],
)
def test_what_spreading_cannot_do_is_told(monkeypatch, asked, said) -> None:
    for name, value in {**SPREAD, **asked}.items():
        monkeypatch.setenv(name, value)
    optimiser = "adamw" if asked else "adamw-8bit"
    with pytest.raises(TrainingError, match=said):
        check_sharding(FullyShardedDataParallelPlugin(), optimiser)
