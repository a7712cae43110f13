"""An engine that runs tasks in actors of a Ray cluster.

Actors get descriptors of a few kilobytes and write their results themselves, so all nodes must have
the run folder at the same path. Tasks of the class network run in processes on the driver's
machine, where the ledger is. Ray waits forever for what a cluster does not have; so the places of
actors are counted from the cluster's nodes, and each actor is bound to its node.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from pydantic import Field

from editloop.errors import RecipeError, UnavailableError
from editloop.kernel.engines.base import EngineSettings
from editloop.kernel.engines.pooled import PooledEngine, PooledWorker
from editloop.kernel.engines.processes import LocalProcess
from editloop.kernel.engines.ray_actor import RayActor, RayPlace
from editloop.kernel.resources import Resources
from editloop.runtime.machine import cores

__all__ = ["RayEngine", "core_share"]

_ANSWERING = 5.0  # seconds within which a cluster must accept a connection
_STORE = 100 * 2**20  # bytes of a local cluster's object store; no picture goes through it


class RayEngine(PooledEngine[RayPlace | None]):
    """Runs tasks in actors, one for each worker; the place None is this machine.

    A step that needs GPUs gets as many of one node. Each actor of the class CPU reserves a core, or
    the share of one with which all workers fit the cluster.
    """

    class Settings(EngineSettings):
        target: str = Field(
            default="",
            description="HOST:PORT of the cluster; `local` for a new one; if not set, the one that "
            "runs on this machine, or else a new one",
        )

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__()
        self._settings = settings or self.Settings()
        self._nodes: tuple[_Node, ...] = ()
        _check(self._settings)

    def can_run(self, resources: Resources) -> bool:
        """Return whether one of the nodes has these resources."""
        if resources.kind == "network":
            return True
        enough = any(
            node.cpus >= resources.cpus and (node.gpus >= resources.gpus or resources.gpu_optional)
            for node in self._connected()
        )
        return enough and super().can_run(resources)

    def places(self, kind: str, gpus: int) -> list[RayPlace | None]:
        """Return the places of all workers of a pool, spread over the nodes."""
        nodes = self._connected()
        if kind == "network":
            return [None] * min(self._workers(), cores())
        if kind == "gpu":
            return _spread([[RayPlace(node.id, 0, gpus)] * (node.gpus // gpus) for node in nodes])
        share = core_share([node.cpus for node in nodes], self._workers())
        each = [[RayPlace(node.id, share)] * int(node.cpus / share) for node in nodes]
        return _spread(each)[: self._workers()]

    def start_worker(self, place: RayPlace | None) -> PooledWorker:
        """Return a new actor in its place, or a process on this machine."""
        return LocalProcess("cpu") if place is None else RayActor(place)

    def is_there(self, place: RayPlace | None) -> bool:
        """Return whether a node is alive."""
        return place is None or place.node in {node.id for node in _nodes()}

    def _workers(self) -> int:
        return self._settings.workers or max(1, sum(int(each.cpus) for each in self._connected()))

    def _connected(self) -> tuple[_Node, ...]:
        """Return the nodes, after connecting to the cluster."""
        if not self._nodes:
            _connect(self._settings.target)
            self._nodes = _nodes()
        return self._nodes


@dataclass(frozen=True, slots=True)
class _Node:
    """A node that is alive, with all its cores and GPUs, whether they are in use or not."""

    id: str
    cpus: float
    gpus: int


def core_share(cpus: Sequence[float], workers: int) -> float:
    """Return the largest share of a core, at most 1, of which `workers` fit on nodes of `cpus`."""
    parts = (each / count for each in cpus for count in range(1, workers + 1))
    for share in sorted({1.0, *(int(1e4 * part) / 1e4 for part in parts)}, reverse=True):
        if 0 < share <= 1 and sum(int(each / share) for each in cpus) >= workers:
            return share
    return 1.0


def _spread(places: Sequence[Sequence[RayPlace]]) -> list[RayPlace | None]:
    return [each for each in chain.from_iterable(zip_longest(*places)) if each is not None]


def _nodes() -> tuple[_Node, ...]:
    alive = [each for each in _ray().nodes() if each["Alive"]]
    had = [(each["NodeID"], each["Resources"]) for each in alive]
    return tuple(_Node(name, got.get("CPU", 0.0), int(got.get("GPU", 0))) for name, got in had)


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UnavailableError(
            "the engine ray needs Ray", command="pip install 'editloop[ray]'"
        ) from error
    return ray


def _check(settings: RayEngine.Settings) -> None:
    _ray()
    if settings.devices is not None:
        raise RecipeError(
            "the engine ray takes the cluster's GPUs",
            value=", ".join(settings.devices),
            fix="omit the devices",
        )
    host, _, port = settings.target.rpartition(":")
    if settings.target not in ("", "auto", "local") and not (host and port.isdigit()):
        raise RecipeError(
            "this is not the address of a Ray cluster",
            value=settings.target,
            fix="give HOST:PORT, as `ray start` prints it, on one of the cluster's nodes",
        )
    if "/" in host:
        raise RecipeError(
            "a Ray client is not supported: the driver reads the run folder, as the nodes do",
            value=settings.target,
            fix="run the command on one of the cluster's nodes, with its HOST:PORT",
        )


def _connect(target: str) -> None:
    """Connect this process to a cluster, or start one here; both end with the process."""
    ray = _ray()
    host, _, port = target.rpartition(":")
    if ray.is_initialized():
        connected = ray.get_runtime_context().gcs_address
        if host and target != connected:
            raise RecipeError(
                f"this process is already connected to the Ray cluster {connected}",
                value=target,
                fix="use that one, or call `ray.shutdown()` first",
            )
        return
    try:
        if host:
            socket.create_connection((host, int(port)), _ANSWERING).close()
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that starts here
        new: dict[str, Any] = {"object_store_memory": _STORE} if target == "local" else {}
        ray.init(target or None, log_to_driver=False, logging_level="warning", **new)
    except (OSError, RuntimeError, ValueError) as error:
        raise UnavailableError(
            f"cannot connect to a Ray cluster: {error}",
            value=target or "this machine",
            command="ray start --head",
        ) from error
