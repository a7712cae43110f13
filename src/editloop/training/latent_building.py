"""Building the latent cache's shards, in this process or in worker processes."""

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
from editloop.kernel.engines.base import Ended, Task, make_engine
from editloop.kernel.resources import CPU
from editloop.models.backbones.autoencoder import Autoencoder
from editloop.storage.files import Files, replace_file
from editloop.training.latent_encoding import EncodeTask, encode_in_worker, encode_shard

__all__ = ["encode_all", "timed"]


def encode_all(jobs: Sequence[EncodeTask], autoencoder: Autoencoder, workers: int) -> None:
    """Encode all shards.

    On a CPU, each of several workers loads its own autoencoder; on a GPU this process encodes.
    Raises the error of a failed task, or StepError if a worker died or timed out.
    """
    workers = min(workers, len(jobs))
    function: Callable[[EncodeTask], None]
    if autoencoder.vae.device.type == "cpu" and workers > 1:
        engine, function = make_engine("processes", workers), encode_in_worker
    else:
        engine, function = make_engine("in-process", 1), partial(_encode_here, autoencoder)
    waiting = deque(Task(function, job) for job in jobs)
    with engine, _bar(sum(job.stop - job.start for job in jobs)) as show:
        while waiting and engine.free(CPU):
            engine.submit(waiting.popleft())
        while ended := engine.wait():
            for each in ended:
                _check(each)
                show(each.task.descriptor.stop - each.task.descriptor.start)
            while waiting and engine.free(CPU):
                engine.submit(waiting.popleft())


def _encode_here(autoencoder: Autoencoder, job: EncodeTask) -> None:
    encode_shard(job, autoencoder)


def _check(ended: Ended[EncodeTask]) -> None:
    if ended.error is not None:
        raise ended.error
    if ended.loss is not None:
        job = ended.task.descriptor
        raise StepError(
            f"a worker process that encodes pictures was {ended.loss.value}",
            value=f"samples {job.start} to {job.stop}",
            fix="run again, with fewer workers if memory ran out; finished shards are kept",
        )


@contextmanager
def timed(path: Path, files: Files) -> Iterator[Callable[[], float]]:
    """Add the seconds spent in the block to those in a file.

    Gives a function that returns the seconds spent so far.
    """
    started = time.perf_counter()
    try:
        yield lambda: time.perf_counter() - started
    finally:
        spent = _seconds_in(path) + time.perf_counter() - started
        with suppress(OSError):  # such as a full disk, which the write itself reports
            replace_file(files, path, json.dumps({"seconds": round(spent, 3)}).encode())


def _seconds_in(path: Path) -> float:
    try:
        return float(json.loads(path.read_bytes())["seconds"])
    except (OSError, ValueError, KeyError):
        return 0.0


@contextmanager
def _bar(samples: int) -> Iterator[Callable[[int], Any]]:
    """Show a progress bar if stderr is a terminal."""
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
