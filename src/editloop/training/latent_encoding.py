"""Encoding one shard of a data set by a frozen autoencoder, the expensive part of the cache.

A shard's batches depend on its samples only, so its bytes don't depend on the number of workers. A
worker gets paths and numbers; it loads the autoencoder once and reads its own rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import diffusers
import numpy as np
import torch
from numpy.typing import NDArray

from editloop.errors import TrainingError
from editloop.hub.pretrained import load_pretrained
from editloop.kernel.engines.worker import current_worker
from editloop.models.backbones.autoencoder import Autoencoder, Posterior
from editloop.models.masks import mask_picture
from editloop.models.pipeline_loading import model_index, quietly
from editloop.runtime.prefetching import prefetched
from editloop.schema import EditSample, Pixels
from editloop.storage.files import Files
from editloop.training.buckets import Size
from editloop.training.framing import Framing
from editloop.training.latent_rows import Row, Rows, Shard, row_type
from editloop.training.rows import PublishedRows
from editloop.training.triples import Triple

__all__ = [
    "EncodeTask",
    "StoredAutoencoder",
    "encode_in_worker",
    "encode_shard",
    "encoded",
    "latent_shape",
    "mask_row",
    "picture_row",
]

_PIXELS, _PIXELS_ON_GPU = 4 * 256**2, 32 * 256**2  # pixels per batch
_DEADLINE = 600.0  # seconds that a batch may take: a large autoencoder on one core is slow
_DECODERS, _DECODERS_FOR_GPU = 1, 4  # threads that decode pictures during encoding


@dataclass(frozen=True, slots=True)
class StoredAutoencoder:
    """The location of an autoencoder: a pipeline's folder, and torch's name of the dtype."""

    folder: Path
    precision: str

    def load(self, device: str) -> Autoencoder:
        """Load the autoencoder on a device."""
        made = getattr(diffusers, model_index(self.folder)["vae"][1])
        with quietly():
            vae = load_pretrained(
                made,
                self.folder,
                subfolder="vae",
                torch_dtype=getattr(torch, self.precision),
                use_safetensors=True,
            )
            return Autoencoder.of(vae.to(device), vae.dtype)


@dataclass(frozen=True, slots=True)
class EncodeTask:
    """The task of encoding samples from `start` up to `stop`.

    `pictures` and `masks` are the files to write latents to; None if the file exists already or is
    not wanted. With `flips` 2, each sample's mirror image is encoded too. `numbers` is NumPy's name
    of the dtype in which latents are stored.
    """

    rows: PublishedRows
    start: int
    stop: int
    framing: Framing
    flips: int
    numbers: str
    stored: StoredAutoencoder
    pictures: Path | None
    masks: Path | None
    files: Files = field(default_factory=Files)


def latent_shape(autoencoder: Autoencoder, size: Size) -> tuple[int, int, int]:
    """Return the shape [c, h, w] of the latents of a picture of a size."""
    factor = autoencoder.factor
    return autoencoder.channels, size[0] // factor, size[1] // factor


def picture_row(shape: tuple[int, ...], numbers: str) -> Row:
    """Return the row type of a source's mean, and a target's mean and std, each [c, h, w]."""
    return row_type(dict.fromkeys(("source", "mean", "std"), (numbers, shape)))


def mask_row(shape: tuple[int, ...], numbers: str) -> Row:
    """Return the row type of a mask's posterior mean [c, h, w]."""
    return row_type({"mask": (numbers, shape)})


def encoded(autoencoder: Autoencoder, pictures: Sequence[Pixels]) -> Posterior:
    """Return the encoder's posterior of pictures of one size, float32 on the CPU.

    The pictures are encoded in batches.
    """
    height, width = pictures[0].shape[:2]
    most = max(1, _at_once(autoencoder) // (height * width))
    found = []
    for start in range(0, len(pictures), most):
        current_worker().expect(_DEADLINE)
        batch = torch.from_numpy(np.stack(pictures[start : start + most]))
        found.append(autoencoder.posterior(batch))
    mean = torch.cat([each.mean.float().cpu() for each in found])
    return Posterior(mean, torch.cat([each.std.float().cpu() for each in found]))


def _at_once(autoencoder: Autoencoder) -> int:
    """Return the number of pixels per batch."""
    return _PIXELS if autoencoder.vae.device.type == "cpu" else _PIXELS_ON_GPU


def encode_in_worker(job: EncodeTask) -> None:
    """Call `encode_shard` with an autoencoder that this worker loads only once."""
    worker = current_worker()
    encode_shard(job, worker.kept(job.stored, lambda: job.stored.load(worker.device)))


def encode_shard(job: EncodeTask, autoencoder: Autoencoder) -> None:
    """Encode a task's samples and write its files.

    Raises the errors of `Framing.of`, and TrainingError if latents are NaN or infinite.
    """
    encoder = _Encoder(job, autoencoder)

    def framed(sample: EditSample) -> tuple[str, Triple]:
        return sample.id, job.framing.of(sample)

    samples = job.rows.stream(job.start, job.stop)
    threads = _DECODERS if autoencoder.vae.device.type == "cpu" else _DECODERS_FOR_GPU
    for place, (name, triple) in enumerate(prefetched(framed, samples, threads)):
        encoder.add(_Waiting(place, name, triple))
    encoder.finish()


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A sample that waits for its batch, with its place in the shard and its id."""

    place: int
    name: str
    triple: Triple


class _Encoder:
    """Group a shard's samples by size and encode each group in batches."""

    def __init__(self, job: EncodeTask, autoencoder: Autoencoder) -> None:
        self._job = job
        self._autoencoder = autoencoder
        self._pixels = _at_once(autoencoder)
        self._waiting: dict[Size, list[_Waiting]] = {}
        self._places: dict[Size, list[int]] = {}
        self._pictures: dict[Size, list[Rows]] = {}
        self._masks: dict[Size, list[Rows]] = {}
        self._white: dict[Size, NDArray[np.float32]] = {}
        self._lost = 0

    def add(self, sample: _Waiting) -> None:
        current_worker().expect(_DEADLINE)  # decoding a sample is a sign of life
        size = sample.triple.size
        self._lost += sample.triple.lost
        waiting = self._waiting.setdefault(size, [])
        waiting.append(sample)
        if len(waiting) * 2 * self._job.flips * size[0] * size[1] >= self._pixels:
            self._encode(size)

    def finish(self) -> None:
        """Encode the remaining samples and write the files."""
        for size in sorted(self._waiting):
            self._encode(size)
        for path, tables in ((self._job.pictures, self._pictures), (self._job.masks, self._masks)):
            if path is not None:
                Shard.write(self._job.files, path, self._places, tables, self._lost)

    def _encode(self, size: Size) -> None:
        samples = self._waiting[size]
        if not samples:
            return
        self._waiting[size] = []
        self._places.setdefault(size, []).extend(each.place for each in samples)
        triples = [each.triple for each in samples]
        shape, numbers = latent_shape(self._autoencoder, size), self._job.numbers
        with np.errstate(over="ignore"):  # `_finite` reports overflow
            if self._job.pictures is not None:
                rows = self._encoded_pictures(triples, picture_row(shape, numbers))
                self._pictures.setdefault(size, []).append(_finite(rows, samples))
            if self._job.masks is not None:
                rows = self._encoded_masks(triples, mask_row(shape, numbers))
                self._masks.setdefault(size, []).append(_finite(rows, samples))

    def _encoded_pictures(self, triples: Sequence[Triple], kind: Row) -> Rows:
        mean, std = self._posterior(
            [each.source for each in triples] + [each.target for each in triples]
        )
        rows = np.zeros(len(mean) // 2, kind)
        rows["source"], rows["mean"] = np.split(mean, 2)
        rows["std"] = np.split(std, 2)[1]
        return rows

    def _encoded_masks(self, triples: Sequence[Triple], kind: Row) -> Rows:
        """Encode masks; a missing mask gets the latents of a white one."""
        flips, size = self._job.flips, triples[0].size
        rows = np.zeros(len(triples) * flips, kind)
        regions = [at for at, each in enumerate(triples) if each.mask is not None]
        if regions:
            own = (np.array(regions)[:, None] * flips + np.arange(flips)).ravel()
            pictures = [mask_picture(triples[at].whole_mask) for at in regions]
            rows["mask"][own] = self._posterior(pictures)[0]
        everywhere = np.repeat([each.mask is None for each in triples], flips)
        if everywhere.any():
            rows["mask"][everywhere] = self._white_latents(size)
        return rows

    def _white_latents(self, size: Size) -> NDArray[np.float32]:
        if size not in self._white:
            white = mask_picture(np.full(size, 255, np.uint8))
            self._white[size] = self._posterior([white])[0][:1]
        return self._white[size]

    def _posterior(self, pictures: Sequence[Pixels]) -> tuple[NDArray[np.float32], ...]:
        """Return mean and std, float32 [pictures * flips, c, h, w]; flips follow each picture."""
        views: list[Callable[[Pixels], Pixels]] = [lambda each: each, lambda each: each[:, ::-1]]
        own = views[: self._job.flips]
        found = encoded(self._autoencoder, [view(each) for each in pictures for view in own])
        return found.mean.numpy(), found.std.numpy()


def _finite(rows: Rows, samples: Sequence[_Waiting]) -> Rows:
    """Return the rows; raise TrainingError if latents are not finite in the stored dtype."""
    for name in rows.dtype.names or ():
        wrong = ~np.isfinite(rows[name]).reshape(len(rows), -1).all(1)
        if wrong.any():
            raise TrainingError(
                "a picture's latents contain NaN or infinite values",
                value=samples[int(wrong.argmax()) * len(samples) // len(rows)].name,
                fix="set precision: fp32, or use a base whose autoencoder doesn't overflow",
            )
    return rows
