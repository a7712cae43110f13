"""The processes of a launcher: shares of GPUs, and calls in which one of them leads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import leading_ranks
from editloop.runtime.ranks import Member

LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


@pytest.mark.parametrize(
    ("gpus", "local", "share"),
    [
        (4, (0, 2), ("cuda:0", "cuda:2")),
        (4, (1, 2), ("cuda:1", "cuda:3")),
        (1, (0, 1), ("cuda:0",)),
        (1, (3, 4), ("cuda:0",)),  # such as the only GPU that this process sees
        (0, (1, 2), ()),
    ],
)
def test_the_processes_of_a_machine_share_its_gpus(
    gpus: int, local: tuple[int, int], share: tuple[str, ...]
) -> None:
    names = tuple(f"cuda:{number}" for number in range(gpus))
    assert Member(1, names, local).share() == share
    assert Member(1, (), local).share(names) == share


@pytest.mark.slow
def test_one_process_leads_and_all_get_what_it_returns_or_raises(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, *LAUNCHER, leading_ranks.__file__, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 0, ended.stderr
    for rank in range(2):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert found == [0, "nobody: 1", [0, 1], "here and there", [0, 1]]
