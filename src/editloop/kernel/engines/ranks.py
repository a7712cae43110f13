"""An engine whose workers are processes of all ranks of a launcher, this one first.

Each rank starts local worker processes for the leader (`rank_worker`), so an input that kills or
hangs its worker costs that process and not the rank. A rank that dies costs the tasks of its
workers; most launchers then end all ranks, and the same command goes on.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, zip_longest
from typing import TYPE_CHECKING, Any

from editloop.errors import UnavailableError
from editloop.kernel.engines.base import EngineSettings, Task
from editloop.kernel.engines.pooled import PooledEngine, PooledWorker, local_places
from editloop.kernel.engines.processes import LocalProcess
from editloop.kernel.engines.rank_worker import start
from editloop.runtime.launcher import leads
from editloop.runtime.peers import Peer

if TYPE_CHECKING:
    from editloop.runtime.ranks import Member

__all__ = ["RankEngine", "RankPlace"]

_SILENT = 300.0  # seconds without a word from a rank, which sends one every few seconds
_STOPPING = 60.0  # seconds that a rank may take to end a process
_NUMBERS = count(1)


@dataclass(frozen=True, slots=True)
class RankPlace:
    """The device of a worker, and the rank that has it; None is this process."""

    device: str
    peer: Peer | None = None


class RankEngine(PooledEngine[RankPlace]):
    """Runs tasks in worker processes of all ranks, each with its share of the machine's GPUs.

    `workers` is the number of each rank. Network work stays with this rank, as the ledger is here.
    """

    def __init__(
        self, settings: EngineSettings | None = None, members: Sequence[Member] | None = None
    ) -> None:
        super().__init__()
        self._settings = settings or EngineSettings()
        if members is None and not leads():
            raise UnavailableError(
                "this process leads no processes of a launcher",
                value="engine ranks",
                fix="start the command by a launcher, such as "
                "`torchrun --nproc-per-node 2 -m editloop`, or use the engine processes",
            )
        self._members = members

    def places(self, kind: str, gpus: int) -> list[RankPlace]:
        """Return the places of all workers of a pool, those of different ranks in turn."""
        members = self._members
        if members is None:
            from editloop.runtime import ranks  # imports torch

            members = ranks.members()
        every = [
            [
                RankPlace(device, member.peer)
                for device in local_places(
                    kind,
                    gpus,
                    self._settings.workers or member.cores,
                    partial(member.share, self._settings.devices),
                )
            ]
            for member in (members[:1] if kind == "network" else members)
        ]
        return [each for each in chain(*zip_longest(*every)) if each is not None]

    def start_worker(self, place: RankPlace) -> PooledWorker:
        """Return a new process that owns a device."""
        if place.peer is None:
            return LocalProcess(place.device)
        return _RankWorker(place.peer, place.device)

    def is_there(self, place: RankPlace) -> bool:
        """Return whether a rank is still connected."""
        return place.peer is None or not place.peer.gone.is_set()


class _RankWorker:
    """A worker process of another rank."""

    def __init__(self, peer: Peer, device: str) -> None:
        self._peer = peer
        self._number = next(_NUMBERS)
        self._call = 0  # number of the call whose end the future waits for
        self._begun = time.monotonic()
        self._late = False
        self._future: Future[Any] = Future()
        self._stopped = threading.Event()
        peer.tied[self._number] = self
        with suppress(OSError):  # the first task fails then
            peer.call(start, self._number, device)

    @property
    def due(self) -> float:
        """Minus infinity once the rank has said that the task is late."""
        return float("-inf") if self._late else self._silent_at

    @property
    def _silent_at(self) -> float:
        return max(self._begun, self._peer.heard) + _SILENT

    def submit(self, task: Task[Any]) -> Future[Any]:
        """Start a task; the future raises BrokenExecutor if the worker or its rank dies."""
        return self._sent("submit", task)

    def alive(self) -> bool:
        """Return whether the rank is connected: a process that died while idle is started again."""
        return not self._peer.gone.is_set()

    def kill(self) -> None:
        """End the process; a rank that is silent is given up."""
        if time.monotonic() >= self._silent_at:
            self._peer.end()
        with suppress(OSError):
            self._peer.tell(self._number, "kill")

    def close(self) -> Future[Any]:
        """Start to close what the worker keeps."""
        return self._sent("close")

    def stop(self) -> None:
        """Wait until the process has ended."""
        with suppress(OSError):
            self._peer.tell(self._number, "stop")
        if self.alive():
            self._stopped.wait(_STOPPING)
        self._peer.tied.pop(self._number, None)

    def _sent(self, method: str, *arguments: Any) -> Future[Any]:
        self._call += 1
        self._begun, self._late = time.monotonic(), False
        self._future = future = Future[Any]()
        try:
            pickled = tuple(map(pickle.dumps, arguments))
            self._peer.tell(self._number, method, self._call, *pickled)
        except OSError:
            self.lost()
        except Exception as error:  # of a task that has no pickle
            _settle(future, error=error)
        if not self.alive():
            self.lost()
        return future

    def ended(self, call: int, pickled: bytes) -> None:
        """Take the value or the error of a call, told by the rank."""
        if call == self._call:
            try:
                _settle(self._future, *pickle.loads(pickled))
            except Exception as error:  # of what cannot be restored
                _settle(self._future, error=error)

    def late(self, call: int) -> None:
        """Take note that a sign of life is late, told by the rank."""
        self._late = call == self._call

    def stopped(self) -> None:
        """Take note that the process has ended, told by the rank."""
        self._stopped.set()

    def beat(self) -> None:
        """Take a sign of life of the rank, whose time the peer notes."""

    def lost(self) -> None:
        """Take note that the rank is gone."""
        _settle(self._future, error=BrokenExecutor("a process of the launcher is gone"))
        self._stopped.set()


def _settle(future: Future[Any], value: Any = None, error: BaseException | None = None) -> None:
    with suppress(InvalidStateError):  # it was lost before
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
