"""The engine whose workers belong to several processes; one of them is played by a thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import test_kernel_chunks as by_chunks

from editloop.errors import UnavailableError
from editloop.kernel.build import Options, build
from editloop.kernel.engines.base import EngineSettings, Loss, Task, make_engine
from editloop.kernel.engines.ranks import RankEngine
from editloop.kernel.engines.worker import current_worker
from editloop.kernel.resources import CPU, GPU, NETWORK, Resources
from editloop.runtime.peers import Peer
from editloop.runtime.ranks import Member
from fake_ranks import leading, rank
from kernel_faults import published
from kernel_parts import source, step


@pytest.fixture
def ranks() -> Iterator[list[tuple[Member, Peer]]]:
    """Two ranks, with a GPU each."""
    with ExitStack() as stack:
        yield [stack.enter_context(rank(1, f"fake:{at}")) for at in range(2)]


def engine_of(ranks: list[tuple[Member, Peer]], workers: int | None = None) -> RankEngine:
    return RankEngine(EngineSettings(workers=workers), [member for member, _ in ranks])


def one(engine: RankEngine, task: Task[Any]) -> Any:
    """Return how a task ended."""
    engine.submit(task)
    (ended,) = engine.wait()
    return ended


def _device(_: None) -> str:
    return current_worker().device


def _hang(_: None) -> None:
    current_worker().expect(0.2)
    threading.Event().wait()


def _begin(mark: Path) -> None:
    mark.touch()
    threading.Event().wait()


def _keep(log: Path) -> int:
    current_worker().kept("closing", lambda: _Closing(log))
    return os.getpid()


class _Closing:
    def __init__(self, log: Path) -> None:
        self._log = log

    def close(self) -> None:
        with self._log.open("a") as file:
            file.write(f"{os.getpid()}\n")


def _raise(_: None) -> None:
    raise ValueError("mine")


@pytest.mark.slow
def test_a_rank_hands_back_values_errors_and_losses(tmp_path: Path) -> None:
    with rank(1, "fake:0") as other, engine_of([other]) as engine:
        assert engine.wait() == []
        assert one(engine, Task(_device, None, GPU)).value == "fake:0"
        assert str(one(engine, Task(_raise, None, GPU)).error) == "mine"
        assert one(engine, Task(abs, lambda: 0, GPU)).error is not None  # it has no pickle
        assert one(engine, Task(os._exit, 9, GPU)).loss is Loss.KILLED
        assert one(engine, Task(_hang, None, GPU)).loss is Loss.HUNG
        first = one(engine, Task(_keep, tmp_path / "log", GPU)).value
        assert one(engine, Task(_keep, tmp_path / "log", GPU)).value == first
    assert (tmp_path / "log").read_text() == f"{first}\n"  # kept, and closed once


def test_places_of_the_ranks_are_taken_in_turn(ranks: list[tuple[Member, Peer]]) -> None:
    engine = engine_of(ranks, workers=2)
    first, second = (member.peer for member, _ in ranks)
    assert [place.peer for place in engine.places("cpu", 0)] == [first, second, first, second]
    assert [place.device for place in engine.places("gpu", 1)] == ["fake:0", "fake:1"]
    assert {place.peer for place in engine.places("network", 0)} == {first}
    assert [engine.free(each) for each in (CPU, GPU, NETWORK)] == [4, 2, 2]
    assert not engine.can_run(Resources(gpus=2))  # no rank has two
    assert engine_of(ranks).free(CPU) == 2  # as many as they have cores
    given = EngineSettings(devices=("fake:8", "fake:9"))
    parts = [Member(1, (), (number, 2), peer) for number, peer in enumerate((first, second))]
    assert [each.device for each in RankEngine(given, parts).places("gpu", 1)] == [
        "fake:8",
        "fake:9",
    ]


@pytest.mark.slow
def test_a_rank_that_is_gone_costs_its_task(
    tmp_path: Path, ranks: list[tuple[Member, Peer]]
) -> None:
    with engine_of(ranks, workers=1) as engine:
        engine.submit(Task(_begin, tmp_path / "begun"))
        while not (tmp_path / "begun").exists():
            time.sleep(0.02)
        ranks[0][1].end()
        assert [each.loss for each in engine.wait()] == [Loss.KILLED]
        assert engine.free(CPU) == 1
        assert one(engine, Task(abs, -3)).value == 3
        engine.submit(Task(_begin, tmp_path / "begun"))
        ranks[1][1].end()
        with pytest.raises(UnavailableError, match="no place is left"):
            engine.wait()


def test_a_process_that_leads_nobody_has_no_ranks() -> None:
    with pytest.raises(UnavailableError, match="torchrun"):
        make_engine("ranks", 1)


@pytest.mark.slow
def test_what_local_processes_do_is_done_by_the_ranks_of_the_leader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [source(count={"train": 10})]
    steps = [step("TroubleStep", on={"0005": "kill"}), step("NetworkStep"), step("MarkStep")]
    build(items, steps, out=tmp_path / "here", shard_size=4, options=Options())
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    by_chunks.run(tmp_path / "one", 1)
    with leading(monkeypatch, cores=2):
        build(items, steps, out=tmp_path / "there", shard_size=4, options=Options(workers=None))
        by_chunks.run(tmp_path / "two", 2, by_chunks.fatal_once)
        with make_engine("processes", 1) as engine:
            engine.submit(Task(os.environ.get, "RANK"))
            assert engine.wait()[0].value is None  # a worker is no process of the launcher
    assert published(tmp_path / "there") == published(tmp_path / "here")
    assert by_chunks.stored(tmp_path / "two") == by_chunks.stored(tmp_path / "one")
    assert str(os.getpid()) not in (tmp_path / "two" / "log").read_text().split()
