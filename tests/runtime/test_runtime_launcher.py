"""What a launcher's environment says, and what a process makes of it."""

from __future__ import annotations

import os

import pytest

from editloop.runtime.launcher import forget_launcher, is_launched, leads, led, local_place
from editloop.runtime.machine import cores

LAUNCHED = {"RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)


def test_without_a_launcher_a_call_is_an_ordinary_one() -> None:
    assert not is_launched()
    assert not leads()
    assert local_place() == (0, 1)
    assert led(divmod)(7, 2) == (3, 1)


@pytest.mark.usefixtures("launched")
def test_a_launcher_of_one_process_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert not is_launched()
    assert local_place() == (0, 1)


@pytest.mark.usefixtures("launched")
def test_the_processes_of_a_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    alone = cores()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert is_launched()
    assert local_place() == (0, 2)
    assert cores() == max(1, alone // 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(alone + 1))
    assert cores() == 1


@pytest.mark.usefixtures("launched")
def test_another_process_forgets_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    forget_launcher()
    assert not is_launched()
    assert not {"TORCHELASTIC_RUN_ID", "MASTER_ADDR", *LAUNCHED} & set(os.environ)
