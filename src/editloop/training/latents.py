"""The paired latent cache: a data set through the frozen networks once, for every training on it.

    pictures-FINGERPRINT/   source and target of each sample, in shards; seconds.json: what
                            building took, in all
    masks-FINGERPRINT/      its mask, where masks are asked for
    words-FINGERPRINT.bin   its texts as ids, and its scores

Each depends on what can change it and on nothing else: trainings with other conditions or rates
read the same files, and other soft masks leave the pictures as they are. A build that was
interrupted goes on behind the last whole shard; memory doesn't grow with the number of samples.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from editloop.errors import BusyError, StoreError, TrainingError
from editloop.models.backbones.model import DiffusionModel
from editloop.storage.files import Files
from editloop.storage.locks import lock, wait
from editloop.training.framing import Framing
from editloop.training.latent_building import encode_all, timed
from editloop.training.latent_plan import LatentCache, LatentPlan, LatentSettings
from editloop.training.rows import PublishedRows

__all__ = ["LatentCache", "LatentSettings", "check_framing", "open_latents"]

_LOCK = "latents"
_NO_PLACE = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT}


def open_latents(
    folder: Path,
    key: str,
    settings: LatentSettings,
    model: DiffusionModel,
    rows: PublishedRows,
    *,
    workers: int = 1,
    files: Files | None = None,
) -> LatentCache:
    """The cache of some rows in a folder; what of it isn't there is built first.

    `key` fingerprints the data set. Where another process is building, this one waits. Raises
    TrainingError or ImageError for a sample that can't be trained on and where there are none,
    StoreError where the folder cannot be written to.
    """
    check_framing(settings.framing, model.multiple, rows)
    files = files or Files()
    plan = LatentPlan.of(folder, key, settings, model, rows)
    if not plan.jobs(files) and plan.words.facts() is not None:
        return plan.cache()
    seconds = plan.pictures / "seconds.json"
    with _placed(), _alone(folder), timed(seconds, files) as spent:
        plan.sweep(files)
        jobs = plan.jobs(files)
        encode_all(jobs, model.autoencoder, workers)
        if plan.words.facts() is None:
            plan.words.write(files)
        encoded = sum(job.stop - job.start for job in jobs)
        return replace(plan.cache(), seconds=spent(), encoded=encoded)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a cache's folder; while another process does, say so and wait until it ends or dies."""
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(lock(folder, _LOCK))
                break
            except BusyError as error:
                told = f"waiting for latents of the same data: {error.cause}: {error.value}"
                console = Console(stderr=True, soft_wrap=True, highlight=False)
                console.print(escape(told))
            wait(folder, _LOCK)
        yield


@contextmanager
def _placed() -> Iterator[None]:
    """Say of a folder that cannot be written to what it is for, and how to do without."""
    try:
        yield
    except StoreError as error:
        if getattr(error.__cause__, "errno", None) not in _NO_PLACE:
            raise
        raise StoreError(
            f"no room for latents beside the data: {error.cause}",
            value=error.value,
            fix=f"{error.fix}; or set cache: false, which encodes pictures at every step",
        ) from error


def check_framing(framing: Framing, multiple: int, rows: PublishedRows) -> None:
    """Raise TrainingError unless there are rows, and sizes that are multiples of the model's."""
    if not len(rows):
        raise TrainingError(
            "there is nothing to train on: the split is empty",
            value=rows.paths[0].parent,
            fix="name another split, or build more data",
        )
    odd = [size for size in framing.sizes if size[0] % multiple or size[1] % multiple]
    if odd:
        height, width = odd[0]
        raise TrainingError(
            "this model cannot work on pictures of this size",
            value=f"{width}x{height}",
            fix=f"set size to a multiple of {multiple}",
        )
