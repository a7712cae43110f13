"""A shard of a data set through a frozen autoencoder: the expensive part of the latent cache.

A shard's batches follow from its samples alone, so its bytes don't depend on the workers. What a
worker is told are names and numbers; it loads the autoencoder once and reads its own rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import diffusers
import numpy as np
import torch
from numpy.typing import NDArray

from editloop.errors import TrainingError
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

_PIXELS, _PIXELS_ON_GPU = 4 * 256**2, 32 * 256**2  # encoded at a time
_DECODERS, _DECODERS_FOR_GPU = 1, 4  # threads that decode pictures meanwhile


@dataclass(frozen=True, slots=True)
class StoredAutoencoder:
    """Where an autoencoder is: a pipeline's folder, and torch's name of the precision."""

    folder: Path
    precision: str

    def load(self) -> Autoencoder:
        """The autoencoder, on the CPU."""
        made = getattr(diffusers, model_index(self.folder)["vae"][1])
        with quietly():
            vae = made.from_pretrained(
                self.folder,
                subfolder="vae",
                torch_dtype=getattr(torch, self.precision),
                use_safetensors=True,
                local_files_only=True,
            )
            return Autoencoder.of(vae, vae.dtype)


@dataclass(frozen=True, slots=True)
class EncodeTask:
    """Samples `start` to `stop`, and the files that are to hold the latents of their pictures and
    masks; None where these are there or not wanted.

    With `flips` 2, a sample's mirror image is encoded too. `numbers` is NumPy's name of the type in
    which latents are kept.
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
    """The shape [c, h, w] of the latents of a picture of a size."""
    factor = autoencoder.factor
    return autoencoder.channels, size[0] // factor, size[1] // factor


def picture_row(shape: tuple[int, ...], numbers: str) -> Row:
    """A source's posterior mean, and a target's mean and standard deviation, each [c, h, w]."""
    return row_type(dict.fromkeys(("source", "mean", "std"), (numbers, shape)))


def mask_row(shape: tuple[int, ...], numbers: str) -> Row:
    """A mask's posterior mean [c, h, w]."""
    return row_type({"mask": (numbers, shape)})


def encoded(autoencoder: Autoencoder, pictures: Sequence[Pixels]) -> Posterior:
    """What the encoder says of pictures of one size, in float32 on the CPU; a few at a time."""
    height, width = pictures[0].shape[:2]
    most = max(1, _at_once(autoencoder) // (height * width))
    found = [
        autoencoder.posterior(torch.from_numpy(np.stack(pictures[start : start + most])))
        for start in range(0, len(pictures), most)
    ]
    mean = torch.cat([each.mean.float().cpu() for each in found])
    return Posterior(mean, torch.cat([each.std.float().cpu() for each in found]))


def _at_once(autoencoder: Autoencoder) -> int:
    """Pixels that are encoded at a time."""
    return _PIXELS if autoencoder.vae.device.type == "cpu" else _PIXELS_ON_GPU


def encode_in_worker(job: EncodeTask) -> None:
    """`encode_shard` with an autoencoder that this process loads once."""
    encode_shard(job, _loaded(job.stored))


@lru_cache(maxsize=1)
def _loaded(stored: StoredAutoencoder) -> Autoencoder:
    return stored.load()


def encode_shard(job: EncodeTask, autoencoder: Autoencoder) -> None:
    """Encode a job's samples and write its files.

    Raises what `Framing.of` raises, and TrainingError where latents are no numbers.
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
    """A sample with its place in the shard and its id."""

    place: int
    name: str
    triple: Triple


class _Encoder:
    """Gathers a shard's samples by size, and encodes as many of a size as fit into a batch."""

    def __init__(self, job: EncodeTask, autoencoder: Autoencoder) -> None:
        self._job = job
        self._autoencoder = autoencoder
        self._pixels = _at_once(autoencoder)
        self._waiting: dict[Size, list[_Waiting]] = {}
        self._places: dict[Size, list[int]] = {}
        self._pictures: dict[Size, list[Rows]] = {}
        self._masks: dict[Size, list[Rows]] = {}
        self._white: dict[Size, NDArray[np.float32]] = {}

    def add(self, sample: _Waiting) -> None:
        size = sample.triple.size
        waiting = self._waiting.setdefault(size, [])
        waiting.append(sample)
        if len(waiting) * 2 * self._job.flips * size[0] * size[1] >= self._pixels:
            self._encode(size)

    def finish(self) -> None:
        """Encode the rest, and write."""
        for size in sorted(self._waiting):
            self._encode(size)
        for path, tables in (
            (self._job.pictures, self._pictures),
            (self._job.masks, self._masks),
        ):
            if path is not None:
                Shard.write(self._job.files, path, self._places, tables)

    def _encode(self, size: Size) -> None:
        samples = self._waiting[size]
        if not samples:
            return
        self._waiting[size] = []
        self._places.setdefault(size, []).extend(each.place for each in samples)
        triples = [each.triple for each in samples]
        shape, numbers = latent_shape(self._autoencoder, size), self._job.numbers
        with np.errstate(over="ignore"):  # what overflows is found by `_finite`
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
        """Where a mask means everywhere, its latents are those of a white one."""
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
        """Mean and standard deviation, float32 [pictures * flips, c, h, w], flips side by side."""
        views: list[Callable[[Pixels], Pixels]] = [lambda each: each, lambda each: each[:, ::-1]]
        own = views[: self._job.flips]
        found = encoded(self._autoencoder, [view(each) for each in pictures for view in own])
        return found.mean.numpy(), found.std.numpy()


def _finite(rows: Rows, samples: Sequence[_Waiting]) -> Rows:
    """The rows, if all their latents are numbers in the type they are kept in."""
    for name in rows.dtype.names or ():
        wrong = ~np.isfinite(rows[name]).reshape(len(rows), -1).all(1)
        if wrong.any():
            raise TrainingError(
                "a picture's latents are not finite numbers",
                value=samples[int(wrong.argmax()) * len(samples) // len(rows)].name,
                fix="set precision: fp32, or name a base whose autoencoder doesn't overflow",
            )
    return rows
