"""The Ray engine: the bytes of local processes, whatever happens to workers, nodes and drivers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import kernel_crash
from editloop.errors import RecipeError, UnavailableError
from editloop.evaluation.evaluate import evaluate
from editloop.kernel.build import BuildReport, Options, build
from editloop.kernel.engines.base import Loss, Task, make_engine
from editloop.kernel.engines.ray import core_share
from editloop.kernel.engines.worker import current_worker
from editloop.kernel.progress import Progress
from editloop.kernel.resources import CPU, GPU
from editloop.kernel.tasks import StepSpec
from kernel_faults import published
from kernel_parts import logged, source, step
from magicbrush_data import make_outputs, make_split

SCRIPT = Path(kernel_crash.__file__)


@pytest.mark.parametrize(
    ("cpus", "workers", "share"),
    [
        ([4, 4], 8, 1),
        ([4, 4], 3, 1),
        ([1, 1], 4, 0.5),
        ([4, 1], 6, 0.8),
        ([0, 2], 3, 0.6666),
        ([0.5], 1, 0.5),
        ([3], 10_000, 0.0003),
    ],
)
def test_workers_share_cores_so_that_all_fit(cpus: list[float], workers: int, share: float) -> None:
    assert core_share(cpus, workers) == share


def test_without_ray_the_engine_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UnavailableError, match=r"pip install 'editloop\[ray\]'"):
        make_engine("ray", 1)


@pytest.mark.parametrize("target", ["head", "head:port", "ray://head:10001", "auto:"])
def test_what_is_no_address_is_refused(target: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    with pytest.raises(RecipeError, match="Ray"):
        make_engine(f"ray:{target}", 1)


def test_an_address_without_a_cluster_is_refused() -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    with pytest.raises(UnavailableError, match="cannot connect to a Ray cluster"):
        make_engine("ray:127.0.0.1:1", 1).can_run(CPU)


slow = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes on this machine: the head with one core, the other one with a core and a GPU."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    from ray.cluster_utils import Cluster

    ray.shutdown()
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 0})
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def engine(cluster: Any) -> str:
    """The SPEC of the engine, with both nodes there."""
    if len(cluster.worker_nodes) == 0:
        cluster.add_node(num_cpus=1, num_gpus=1)
    cluster.wait_for_nodes()
    return f"ray:{cluster.address}"


def make(out: Path, steps: list[StepSpec], items: int = 12, **options: Any) -> BuildReport:
    sources = [source(count={"train": items, "heldout": 4})]
    return build(sources, steps, out=out, shard_size=2, options=Options(**options))


@slow
def test_the_bytes_are_those_of_local_processes(tmp_path: Path, engine: str) -> None:
    steps = [step(), step("NetworkStep", label="n"), step("MarkStep")]
    make(tmp_path / "local", steps, workers=2)
    for workers in (2, 5):
        name = f"ray-{workers}"
        make(tmp_path / name, steps, workers=workers, engine=engine)
        assert published(tmp_path / name) == published(tmp_path / "local")


@slow
def test_an_evaluation_has_the_bytes_of_local_processes(tmp_path: Path, engine: str) -> None:
    data, outputs = make_split(tmp_path / "data"), make_outputs(tmp_path / "outputs")
    settings = {"metrics": ["l1", "ssim=pixels:ssim"], "chunk": 1, "workers": 2}
    made = []
    for at, place in enumerate(("processes", engine)):
        out = tmp_path / str(at)
        editors = [f"mine=recorded:{outputs}"]
        evaluate("magicbrush", data, editors, out, engine=place, **settings)
        files = [out / "results.json", *sorted((out / "evaluation").rglob("*.*"))]
        made.append([path.read_bytes() for path in files])
    assert made[0] == made[1]


@slow
def test_an_actor_keeps_its_steps_and_its_gpu(tmp_path: Path, engine: str) -> None:
    log = tmp_path / "log"
    kinds: list[dict[str, Any]] = [{"gpus": 1}, {"network": True}, {}, {"gpus": 1}]
    steps = [
        step("LoggedStep", f"s{at}", log=str(log), word=f"s{at}", **kind)
        for at, kind in enumerate(kinds)
    ]
    make(tmp_path / "out", steps, workers=1, engine=engine)
    lines = [line.split(" ") for line in logged(log)]
    ready = {line[0]: line[-1] for line in lines if line[1] == "setup"}
    assert ready == {"s0": "cuda", "s1": "cpu", "s2": "cpu", "s3": "cuda"}
    for what in ("setup", "close"):
        assert sorted(line[0] for line in lines if line[1] == what) == ["s0", "s1", "s2", "s3"]
    on_gpu = {line[3] for line in lines if line[0] in ("s0", "s3")}
    assert len(on_gpu) == 1


@slow
@pytest.mark.parametrize("settings", [{"gpus": 2}, {"gpus": 1, "cpus": 2}, {"cpus": 64}])
def test_what_no_node_has_is_refused_at_once(
    tmp_path: Path, engine: str, settings: dict[str, int]
) -> None:
    begun = time.monotonic()
    steps = [step("LoggedStep", log=str(tmp_path / "log"), **settings)]
    with pytest.raises(UnavailableError, match="LoggedStep needs"):
        make(tmp_path / "out", steps, engine=engine)
    assert time.monotonic() - begun < 20
    assert logged(tmp_path / "log") == []


@slow
def test_a_node_without_the_working_folder_is_reported(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "cwd", lambda: Path("/nowhere"))
    with make_engine(engine, 1) as made:
        made.submit(Task(abs, -3))
        (ended,) = made.wait()
    assert isinstance(ended.error, UnavailableError)
    assert "/nowhere" in str(ended.error)


@slow
def test_cores_that_others_use_are_refused_within_a_bound(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr("editloop.kernel.engines.ray_actor._STARTING", 3.0)
    with make_engine(engine, 1) as own:
        assert own.can_run(GPU)
        other = _other(ray)
        own.submit(Task(abs, -3, GPU))
        with pytest.raises(UnavailableError, match="in use by others"):
            own.wait()
        ray.kill(other)


def _other(ray: Any) -> Any:
    """Return an actor of another program, which has the GPU."""

    class Other:
        def ready(self) -> None:
            return None

    made = ray.remote(num_cpus=0, num_gpus=1)(Other).remote()
    ray.get(made.ready.remote())
    return made


@slow
def test_an_engine_hands_back_values_errors_and_losses(engine: str) -> None:
    with make_engine(engine, 2) as made:
        assert made.wait() == []
        assert (made.free(CPU), made.free(GPU)) == (2, 1)
        ends = {}
        for function, descriptor in (
            (abs, -3),
            (int, "x"),
            (os._exit, 9),
            (_hang, None),
            (_die, 0),
        ):
            made.submit(Task(function, descriptor, GPU))
            (ends[function],) = made.wait()
        assert ends[abs].value == 3
        assert isinstance(ends[int].error, ValueError)
        assert [ends[each].loss for each in (os._exit, _hang, _die)] == [
            Loss.KILLED, Loss.HUNG, Loss.KILLED,
        ]  # fmt: skip
        made.submit(Task(_device, None, GPU))
        assert made.wait()[0].value == "cuda"


def _device(_: None) -> str:
    return current_worker().device


def _hang(_: None) -> None:
    current_worker().expect(0.2)
    signal.pause()


def _die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@slow
def test_records_that_kill_or_hang_cost_themselves(tmp_path: Path, engine: str) -> None:
    trouble = step("TroubleStep", on={"0005": "kill", "0008": "hang"})
    make(tmp_path / "out", [trouble], workers=2, engine=engine, deadline=3)
    lost = pq.read_table(tmp_path / "out/rejects/quarantined.parquet").to_pylist()
    assert [(row["id"], row["code"]) for row in lost] == [
        ("train/0005", "worker-killed"), ("train/0008", "worker-hung"),
    ]  # fmt: skip


@slow
def test_a_node_that_dies_costs_its_tasks(tmp_path: Path, cluster: Any, engine: str) -> None:
    steps = [step("LoggedStep", log=str(tmp_path / "log"), seconds=0.1), step()]
    make(tmp_path / "local", steps, workers=2)

    def kill(progress: Progress) -> None:
        if progress.done == 3 and cluster.worker_nodes:
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    begun = time.monotonic()
    make(tmp_path / "ray", steps, workers=2, engine=engine, progress=kill)
    assert time.monotonic() - begun < 60
    assert not cluster.worker_nodes
    assert published(tmp_path / "ray") == published(tmp_path / "local")


@slow
def test_when_no_node_is_left_the_build_ends_and_goes_on(
    tmp_path: Path, cluster: Any, engine: str
) -> None:
    log = tmp_path / "log"
    steps = [step("LoggedStep", log=str(log), gpus=1, meets={"train/0011": "resumed"})]
    log.write_text("resumed\n")
    make(tmp_path / "local", steps, workers=1, devices=("fake:0",))
    log.unlink()

    def kill(progress: Progress) -> None:
        if progress.done > 3 and cluster.worker_nodes:
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    with pytest.raises(UnavailableError, match="no place is left"):
        make(tmp_path / "ray", steps, workers=1, engine=engine, progress=kill)
    log.write_text("resumed\n")
    cluster.add_node(num_cpus=1, num_gpus=1)
    cluster.wait_for_nodes()
    make(tmp_path / "ray", steps, workers=1, engine=engine)
    assert published(tmp_path / "ray") == published(tmp_path / "local")


@slow
@pytest.mark.parametrize("commits", [1, 9, 20])
def test_a_killed_driver_goes_on_by_the_same_command(
    tmp_path: Path, engine: str, commits: int
) -> None:
    kernel_crash.many(tmp_path / "local", Options(workers=2))
    out = tmp_path / "ray"
    command = [sys.executable, SCRIPT, "build", out, engine]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        for line in driver.stdout:
            if json.loads(line)["done"] == commits:
                driver.kill()
    done: list[Progress] = []
    kernel_crash.many(out, Options(workers=2, engine=engine, progress=done.append))
    assert len(done) - 1 <= 24 - commits
    assert published(out) == published(tmp_path / "local")
