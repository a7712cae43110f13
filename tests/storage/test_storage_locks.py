"""Run folder locks: a second driver is refused, and a dead driver's lock is released."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import kernel_crash
from editloop.errors import BusyError
from editloop.kernel.build import Options
from editloop.storage.locks import lock, shared_lock, try_lock
from editloop.storage.verify import verify
from kernel_faults import published

_HOLD = """
import sys
from pathlib import Path
from editloop.storage.locks import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_held_folder_is_busy_and_names_its_holder(tmp_path: Path) -> None:
    with (
        lock(tmp_path),
        pytest.raises(BusyError, match=f"process {os.getpid()} on"),
        lock(tmp_path),
    ):
        pass


def test_a_folder_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with lock(tmp_path):
            pass


def test_locks_of_other_names_do_not_meet(tmp_path: Path) -> None:
    with lock(tmp_path), lock(tmp_path, "build"):
        pass


def test_a_killed_holder_frees_the_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOLD, tmp_path]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BusyError), lock(tmp_path):
            pass
        holder.kill()
    with lock(tmp_path):
        pass


def test_shared_locks_exclude_only_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "attempts.lock"
    with shared_lock(path), shared_lock(path), try_lock(path) as alone:
        assert not alone
    with try_lock(path) as alone:
        assert alone


@pytest.mark.slow
def test_a_second_driver_is_refused_and_the_result_is_the_same(tmp_path: Path) -> None:
    out = tmp_path / "contested"
    refused = []

    def meanwhile(_: object) -> None:
        try:
            kernel_crash.many(out, Options(workers=0))
        except BusyError as error:
            refused.append(error)

    kernel_crash.many(out, Options(workers=0, progress=meanwhile))
    assert len(refused) == 25
    kernel_crash.many(tmp_path / "alone", Options(workers=0))
    assert published(out) == published(tmp_path / "alone")
    assert verify(out) == []
