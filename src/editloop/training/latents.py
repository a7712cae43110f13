"""The paired latent cache: a data set is encoded once, for every training on it.

    pictures-FINGERPRINT/   source and target of each sample, in shards; seconds.json has the total
                            time of building
    masks-FINGERPRINT/      its mask, if masks are wanted
    words-FINGERPRINT.bin   its texts as ids, and its scores

Each fingerprint covers only what can change that part: trainings with other conditions or learning
rates read the same files, and other soft masks don't change the pictures. An interrupted build
continues after the last complete shard; memory doesn't grow with the number of samples.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from editloop.errors import BusyError, StoreError, TrainingError
from editloop.models.backbones.model import DiffusionModel
from editloop.showing.terminal import escape
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
    """Open the cache of some rows in a folder; missing parts are built first.

    `key` is the data set's fingerprint. If another process is building, this one waits. Raises
    TrainingError or ImageError if a sample can't be trained on or there are none, StoreError if the
    folder cannot be written to.
    """
    check_framing(settings.framing, model.multiple, rows)
    files = files or Files()
    plan = LatentPlan.of(folder, key, settings, model, rows)
    if not plan.jobs(files) and plan.words.facts() is not None:
        return plan.cache()
    seconds = plan.pictures / "seconds.json"
    with _explained_write_errors(), _locked(folder), timed(seconds, files) as spent:
        plan.sweep(files)
        jobs = plan.jobs(files)
        encode_all(jobs, model.autoencoder, workers)
        if plan.words.facts() is None:
            plan.words.write(files)
        encoded = sum(job.stop - job.start for job in jobs)
        return replace(plan.cache(), seconds=spent(), encoded=encoded)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a cache's folder; while another process holds it, print a message and wait."""
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(lock(folder, _LOCK))
                break
            except BusyError as error:
                message = f"waiting for latents of the same data: {error.cause}: {error.value}"
                console = Console(stderr=True, soft_wrap=True, highlight=False)
                console.print(escape(message))
            wait(folder, _LOCK)
        yield


@contextmanager
def _explained_write_errors() -> Iterator[None]:
    """Add to a write error what the folder is for, and how to train without it."""
    try:
        yield
    except StoreError as error:
        if getattr(error.__cause__, "errno", None) not in _NO_PLACE:
            raise
        raise StoreError(
            f"cannot store latents next to the data: {error.cause}",
            value=error.value,
            fix=f"{error.fix}; or set cache: false, which encodes pictures at every step",
        ) from error


def check_framing(framing: Framing, multiple: int, rows: PublishedRows) -> None:
    """Raise TrainingError if there are no rows, or a size is not a multiple of `multiple`."""
    if not len(rows):
        raise TrainingError(
            "nothing to train on: the split is empty",
            value=rows.paths[0].parent,
            fix="choose another split, or build more data",
        )
    odd = [size for size in framing.sizes if size[0] % multiple or size[1] % multiple]
    if odd:
        height, width = odd[0]
        raise TrainingError(
            "this model cannot work on pictures of this size",
            value=f"{width}x{height}",
            fix=f"set size to a multiple of {multiple}",
        )
