"""Resources: a pool of workers for each class, steps that are set up once, GPUs that are there."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from editloop.errors import StepError, UnavailableError
from editloop.kernel.build import BuildReport, Options, build
from editloop.kernel.engines.base import EngineSettings, Loss, Task, make_engine
from editloop.kernel.engines.worker import Worker, current_worker
from editloop.kernel.resources import CPU, GPU, Resources
from editloop.kernel.tasks import StepSpec
from editloop.registry import kinds
from kernel_faults import published
from kernel_parts import logged, source, step

GPU_STEP = {"gpus": 1}
NETWORK_STEP = {"network": True}
ENGINES = ["processes", "threads", "in-process"]


def logging(log: Path, *steps: dict[str, Any]) -> list[StepSpec]:
    """Return steps named s0, s1, ... that write into a log."""
    return [
        step("LoggedStep", f"s{at}", log=str(log), word=f"s{at}", **settings)
        for at, settings in enumerate(steps)
    ]


def make(out: Path, steps: list[StepSpec], items: int = 12, **options: Any) -> BuildReport:
    sources = [source(count={"train": items})]
    return build(sources, steps, out=out, shard_size=2, options=Options(**options))


def calls(log: Path, what: str) -> Counter[str]:
    """Return how often each step wrote a line that starts with `what`."""
    lines = [line.split(" ", 1) for line in logged(log)]
    return Counter(name for name, rest in lines if rest.startswith(what))


def workers_of(log: Path, name: str) -> set[tuple[str, str]]:
    """Return the workers and devices on which a step was set up."""
    lines = [line.partition(" | ") for line in logged(log)]
    ends = [end.split(" ") for start, _, end in lines if start.startswith(f"{name} setup")]
    return {(worker, device) for worker, device in ends}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_each_step_is_set_up_once_and_closed_once(tmp_path: Path, engine: str) -> None:
    log = tmp_path / "log"
    steps = logging(log, {}, NETWORK_STEP, {})
    report = make(tmp_path / "out", steps, workers=1, engine=engine)
    assert report.timings["shards"] == 18  # six shards of three segments
    assert calls(log, "setup") == calls(log, "close") == {"s0": 1, "s1": 1, "s2": 1}


@pytest.mark.slow
def test_two_workers_set_a_step_up_once_each(tmp_path: Path) -> None:
    log = tmp_path / "log"
    make(tmp_path / "out", logging(log, {}, NETWORK_STEP, {}), workers=2)
    assert max(calls(log, "setup").values()) <= 2
    assert calls(log, "setup") == calls(log, "close")


def test_only_a_step_that_reads_the_split_is_set_up_for_each(tmp_path: Path) -> None:
    log = tmp_path / "log"
    steps = logging(log, {}, {"reads_split": True})
    items = [source(count={"train": 4, "heldout": 4})]
    build(items, steps, out=tmp_path / "out", shard_size=2, options=Options(workers=0))
    assert calls(log, "setup") == calls(log, "close") == {"s0": 1, "s1": 2}
    assert calls(log, "setup heldout") == calls(log, "setup train") == {"s1": 1}


@pytest.mark.slow
def test_segments_of_different_resources_run_at_the_same_time(tmp_path: Path) -> None:
    """Each pair of neighbours meets: both are within a call when they see the other's line."""
    log = tmp_path / "log"
    meet = [
        {"train/0002": "s1 train/0000", "train/0004": "s2 train/0000"},  # the second, third shard
        {"train/0000": "s0 train/0002"},
        {"train/0000": "s0 train/0004"},
        {},
    ]
    kinds_of = [GPU_STEP, NETWORK_STEP, {}, GPU_STEP]
    steps = logging(
        log, *({**kind, "meets": met} for kind, met in zip(kinds_of, meet, strict=True))
    )
    report = make(tmp_path / "out", steps, workers=1, devices=("fake:0",))
    assert (report.counts["out"], report.counts["quarantined"]) == (12, 0)


@pytest.mark.slow
def test_a_gpu_worker_keeps_its_device_and_its_steps(tmp_path: Path) -> None:
    log = tmp_path / "log"
    steps = logging(log, GPU_STEP, NETWORK_STEP, {}, GPU_STEP)
    make(tmp_path / "out", steps, workers=2, devices=("fake:0", "fake:1"))
    on_gpu = workers_of(log, "s0") | workers_of(log, "s3")
    assert len({worker for worker, _ in on_gpu}) == len({device for _, device in on_gpu})
    assert {device for _, device in on_gpu} <= {"fake:0", "fake:1"}
    assert {device for _, device in workers_of(log, "s1") | workers_of(log, "s2")} == {"cpu"}
    assert calls(log, "setup") == calls(log, "close")


@pytest.mark.slow
def test_a_step_may_use_several_gpus(tmp_path: Path) -> None:
    log = tmp_path / "log"
    make(tmp_path / "out", logging(log, {"gpus": 2}), workers=4, devices=("fake:0", "fake:1"))
    assert [device for _, device in workers_of(log, "s0")] == ["fake:0,fake:1"]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_missing_gpu_is_reported_before_anything_runs(tmp_path: Path, workers: int) -> None:
    log = tmp_path / "log"
    for settings, devices in ((GPU_STEP, ()), ({"gpus": 2}, ("fake:0",))):
        steps = logging(log, {}, settings)
        with pytest.raises(UnavailableError, match="s1 needs"):
            make(tmp_path / "out", steps, workers=workers, devices=devices)
    assert logged(log) == []


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_step_that_allows_the_cpu_runs_there_without_a_gpu(tmp_path: Path, workers: int) -> None:
    log = tmp_path / "log"
    steps = logging(log, {"gpus": 1, "gpu_optional": True})
    make(tmp_path / "out", steps, workers=workers, devices=())
    assert {device for _, device in workers_of(log, "s0")} == {"cpu"}


def test_a_source_does_not_load_on_the_gpu(tmp_path: Path) -> None:
    log = tmp_path / "log"
    report = make(tmp_path / "out", logging(log, GPU_STEP), workers=0, devices=("fake:0",))
    assert report.timings["shards"] == 12  # six shards loaded, and six processed


@pytest.mark.slow
def test_resources_and_engines_do_not_change_a_byte(tmp_path: Path) -> None:
    kinds_of: list[dict[str, Any]] = [{}, NETWORK_STEP, {"cpus": 2}]
    steps = [*logging(tmp_path / "log", *kinds_of), step()]
    for name in ENGINES:
        make(tmp_path / name, steps, workers=2, engine=name)
    assert published(tmp_path / "processes") == published(tmp_path / "threads")
    assert published(tmp_path / "processes") == published(tmp_path / "in-process")


def test_a_task_that_needs_several_cores_takes_the_place_of_several() -> None:
    with make_engine("threads", 4) as engine:
        assert engine.free(CPU) == 4
        engine.submit(Task(abs, -1, Resources(cpus=3)))
        assert (engine.free(CPU), engine.free(Resources(cpus=2))) == (1, 0)
        assert engine.free(Resources(network=True)) == 4
        assert engine.can_run(Resources(cpus=64))
        assert engine.wait()[0].value == 1
        assert engine.free(Resources(cpus=64)) == 1


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_hands_back_values_and_errors(name: str) -> None:
    with make_engine(name, 1, ("fake:0",)) as engine:
        assert engine.wait() == []
        for function, descriptor in ((abs, -3), (int, "x"), (_device, None)):
            assert engine.free(GPU)
            engine.submit(Task(function, descriptor, GPU))
            (ended,) = engine.wait()
            if function is int:
                assert isinstance(ended.error, ValueError)
            else:
                assert (ended.value, ended.error) == (3 if function is abs else "fake:0", None)


def _device(_: None) -> str:
    return current_worker().device


@pytest.mark.slow
@pytest.mark.parametrize("name", ["processes", "threads"])
def test_a_task_without_a_sign_of_life_is_lost_and_its_device_is_used_again(name: str) -> None:
    with make_engine(name, 1, ("fake:0",)) as engine:
        engine.submit(Task(_hang, None, GPU))
        assert [each.loss for each in engine.wait()] == [Loss.HUNG]
        engine.submit(Task(_device, None, GPU))
        assert engine.wait()[0].value == "fake:0"


def _hang(_: None) -> None:
    import threading

    current_worker().expect(0.2)
    threading.Event().wait()


def test_a_worker_closes_what_it_keeps_and_names_what_fails() -> None:
    closed: list[str] = []
    worker = Worker()
    for name in "ab":
        worker.kept(name, lambda name=name: _Closing(name, closed))
        worker.kept(name, lambda: _Closing("never", closed))
    with pytest.raises(StepError, match="cannot close b"):
        worker.close()
    assert closed == ["b", "a"]
    worker.close()


class _Closing:
    def __init__(self, name: str, closed: list[str]) -> None:
        self._name = name
        self._closed = closed

    def close(self) -> None:
        self._closed.append(self._name)
        if self._name == "b":
            raise StepError("cannot close b")


def test_engines_are_a_group_of_the_registry() -> None:
    assert set(ENGINES) <= set(kinds("engine"))
    assert EngineSettings().workers == 1


@pytest.mark.parametrize("stated", [{"cpus": 0}, {"gpus": -1}])
def test_impossible_resources_are_refused(stated: dict[str, int]) -> None:
    with pytest.raises(StepError, match="out of range"):
        Resources(**stated)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("visible", "device", "seen"),
    [("", "cuda:1", "1"), ("4,5", "cuda:1", "5"), ("GPU-a,GPU-b", "cuda:0,cuda:1", "GPU-a,GPU-b")],
)
def test_a_gpu_worker_sees_only_its_own_devices(
    monkeypatch: pytest.MonkeyPatch, visible: str, device: str, seen: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    resources = Resources(gpus=device.count("cuda"))
    devices = ("cuda:1",) if resources.gpus == 1 else ("cuda:0", "cuda:1")
    with make_engine("processes", 1, devices) as engine:
        engine.submit(Task(_visible, None, resources))
        assert engine.wait()[0].value == ("cuda", seen)


def _visible(_: None) -> tuple[str, str]:
    return current_worker().device, os.environ["CUDA_VISIBLE_DEVICES"]
