"""Kills at any moment: nothing looks complete too early; a resumed run has the same result."""

from __future__ import annotations

import json
import os
import random
import select
import subprocess
import sys
from pathlib import Path

import pytest

import kernel_crash
from editloop.kernel.build import Options
from editloop.storage.verify import verify
from kernel_faults import published

pytestmark = pytest.mark.slow

SCRIPT = Path(kernel_crash.__file__)


@pytest.mark.parametrize(
    ("kind", "every"),
    [
        ("first", 1),
        ("changed", 4),
        ("retried", 4),
        ("gathered", 4),
        ("regrouped", 4),
        ("cleaned", 1),
        ("rebuilt", 4),
    ],
)
def test_a_kill_before_any_change_of_the_disk(tmp_path: Path, kind: str, every: int) -> None:
    part = random.Random(kind).randrange(every)
    command = [sys.executable, SCRIPT, "sweep", tmp_path, kind, str(part), str(every)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("whole")
    kernel_crash.many(out, Options(workers=0))
    return published(out)


@pytest.mark.parametrize("commits", [1, 6, 13, 20])
def test_a_kill_of_the_driver_at_work(
    tmp_path: Path, expected: dict[str, str], commits: int
) -> None:
    command = [sys.executable, SCRIPT, "build", tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        workers: set[int] = set()
        for line in driver.stdout:
            told = json.loads(line)
            workers |= set(told["workers"])
            if told["done"] == commits:
                driver.kill()
    assert workers
    for worker in workers:
        assert ended(worker)
    assert verify(tmp_path) == []
    done = []
    kernel_crash.many(tmp_path, Options(workers=2, progress=done.append))
    assert len(done) - 1 <= 24 - commits
    assert published(tmp_path) == expected


def ended(process: int) -> bool:
    """Return whether a process ends before a timeout, without its parent waiting for it."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 20)[0])
    finally:
        os.close(handle)
