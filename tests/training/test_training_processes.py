"""Two processes train what one would: started by torch's launcher, meeting over gloo."""

import json
import os
import subprocess
import sys

from safetensors.torch import load_file

from diffusion_runs import saved_base, training_run

SETTINGS = ["steps=6", "batch=4", "size=32", "precision=fp32", "rest=3", "learning_rate=0.001"]


def trained(tmp_path, name, *launcher):
    out = tmp_path / name
    sets = [word for each in SETTINGS for word in ("--set", each)]
    conditions = ["--conditions", "source,mask,reward"]
    paths = ["--data", tmp_path / "run", "--base", tmp_path / "base", "--out", out]
    command = [sys.executable, *launcher, "-m", "editloop", "train", *paths, *conditions, *sets]
    ended = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 0, ended.stderr
    return out / "models" / "editor"


def noted(model):
    return [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_train_as_one_does(tmp_path) -> None:
    training_run(tmp_path / "run")
    saved_base("sd", tmp_path / "base")
    one = trained(tmp_path, "one")
    two = trained(
        tmp_path, "two", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"
    )
    lines = [noted(each) for each in (one, two)]
    assert [line["step"] for line in lines[0]] == [line["step"] for line in lines[1]] == [3, 6]
    for alone, shared in zip(*lines, strict=True):
        assert abs(alone["loss"] - shared["loss"]) < 1e-5
    for part in ("unet", "reward"):
        files = [each / part / "diffusion_pytorch_model.safetensors" for each in (one, two)]
        weights = [load_file(each) for each in files]
        assert weights[0].keys() == weights[1].keys()
        for name, tensor in weights[0].items():
            assert (tensor - weights[1][name]).abs().max() < 1e-5, name
