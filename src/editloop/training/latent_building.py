"""Building the latent cache's shards: here, or in worker processes that each load the encoder."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from editloop.errors import StepError
from editloop.kernel.engines.base import Ended, Engine, Task
from editloop.kernel.engines.in_process import InProcessEngine
from editloop.kernel.engines.processes import LocalProcessEngine
from editloop.models.backbones.autoencoder import Autoencoder
from editloop.storage.files import Files, replace_file
from editloop.training.latent_encoding import EncodeTask, encode_in_worker, encode_shard

__all__ = ["encode_all", "timed"]

_DEADLINE = 24 * 3600.0  # seconds for a shard: a large autoencoder on one core is slow, not hung


def encode_all(jobs: Sequence[EncodeTask], autoencoder: Autoencoder, workers: int) -> None:
    """Make the files of all jobs; raises what a job raised, or StepError where a worker was lost.

    On a CPU, several workers load the autoencoder for themselves; on a GPU this process encodes.
    """
    workers = min(workers, len(jobs))
    function: Callable[[EncodeTask], None]
    engine: Engine
    if autoencoder.vae.device.type == "cpu" and workers > 1:
        engine, function = LocalProcessEngine(workers, deadline=_DEADLINE), encode_in_worker
    else:
        engine, function = InProcessEngine(), partial(_encode_here, autoencoder)
    waiting = deque(Task(function, job) for job in jobs)
    with engine, _bar(sum(job.stop - job.start for job in jobs)) as show:
        for task in (waiting.popleft() for _ in range(min(engine.capacity, len(waiting)))):
            engine.submit(task)
        while ended := engine.wait():
            for each in ended:
                _check(each)
                show(each.task.descriptor.stop - each.task.descriptor.start)
                if waiting:
                    engine.submit(waiting.popleft())


def _encode_here(autoencoder: Autoencoder, job: EncodeTask) -> None:
    encode_shard(job, autoencoder)


def _check(ended: Ended[EncodeTask]) -> None:
    if ended.error is not None:
        raise ended.error
    if ended.loss is not None:
        job = ended.task.descriptor
        raise StepError(
            f"a worker that encodes pictures was {ended.loss.value}",
            value=f"samples {job.start} to {job.stop}",
            fix="run again, with fewer workers if memory was short: it goes on where it stopped",
        )


@contextmanager
def timed(path: Path, files: Files) -> Iterator[Callable[[], float]]:
    """Add the seconds spent inside to those in a file; gives the seconds spent so far."""
    started = time.perf_counter()
    try:
        yield lambda: time.perf_counter() - started
    finally:
        spent = _seconds_in(path) + time.perf_counter() - started
        with suppress(OSError):  # a full disk: what went wrong is told by another
            replace_file(files, path, json.dumps({"seconds": round(spent, 3)}).encode())


def _seconds_in(path: Path) -> float:
    try:
        return float(json.loads(path.read_bytes())["seconds"])
    except (OSError, ValueError, KeyError):
        return 0.0


@contextmanager
def _bar(samples: int) -> Iterator[Callable[[int], Any]]:
    """A bar where a person looks."""
    console = Console(stderr=True)
    columns = (
        TextColumn("encoding pictures"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as bar:
        yield partial(bar.advance, bar.add_task("", total=samples))
