"""Building the latent cache's shards: on every GPU, or in worker processes on the CPU."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from editloop.kernel.engines.base import Task, make_engine
from editloop.kernel.in_order import Work, run_in_order
from editloop.kernel.resources import CPU, GPU
from editloop.models.backbones.autoencoder import Autoencoder
from editloop.storage.files import Files, replace_file
from editloop.training.latent_encoding import EncodeTask, encode_in_worker, encode_shard

__all__ = ["encode_all", "timed"]


def encode_all(jobs: Sequence[EncodeTask], autoencoder: Autoencoder, workers: int) -> None:
    """Encode all shards: on every GPU, or in `workers` processes on the CPU.

    Under a launcher, each of its processes has such workers. A worker loads its own autoencoder; if
    there is only one, this process encodes. Raises the first error of a task, or StepError if a
    shard costs two workers.
    """
    kind = autoencoder.vae.device.type
    resources = GPU if kind == "cuda" else CPU
    engine, function = make_engine("processes", workers), encode_in_worker
    at_once = engine.free(resources) if kind in ("cpu", "cuda") else 1
    if min(at_once, len(jobs)) <= 1:
        engine, function = make_engine("in-process", 1), partial(_encode_here, autoencoder)
    works = (
        Work(f"samples {job.start} to {job.stop}", Task(function, job, resources)) for job in jobs
    )
    with engine, _bar(sum(job.stop - job.start for job in jobs)) as show:
        for job, _ in zip(jobs, run_in_order(engine, works, resources), strict=True):
            show(job.stop - job.start)


def _encode_here(autoencoder: Autoencoder, job: EncodeTask) -> None:
    encode_shard(job, autoencoder)


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
