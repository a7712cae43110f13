"""The files of a latent cache: their paths, the missing ones, and the opened cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from editloop.models.backbones.model import DiffusionModel
from editloop.models.pipeline_loading import parts_digest
from editloop.models.reward import separator_of
from editloop.schema import Json
from editloop.storage.files import Files, explained, sweep_temporaries
from editloop.storage.records import fingerprint
from editloop.training.buckets import Size
from editloop.training.framing import Framing
from editloop.training.latent_encoding import (
    EncodeTask,
    StoredAutoencoder,
    latent_shape,
    mask_row,
    picture_row,
)
from editloop.training.latent_layers import Layer
from editloop.training.latent_rows import Row, Rows, Shard
from editloop.training.latent_words import Words
from editloop.training.mirroring import Mirroring
from editloop.training.rows import PublishedRows

__all__ = ["LatentCache", "LatentPlan", "LatentSettings"]

_VERSION = "3"


@dataclass(frozen=True, slots=True)
class LatentSettings:
    """The contents of a latent cache.

    `flip` adds each sample's mirror image, `masks` the latents of masks. `side_words` are further
    words that rule out mirroring (`Mirroring`). `shard` is the number of
    samples per shard, which an interrupted build may have to encode again.
    """

    framing: Framing
    flip: bool = True
    masks: bool = False
    shard: int = 256
    side_words: tuple[str, ...] = ()

    @property
    def flips(self) -> int:
        """The number of rows per sample."""
        return 2 if self.flip else 1


@dataclass(frozen=True, slots=True, eq=False)
class LatentCache:
    """A data set's latents, ids and scores, in its order.

    pictures: rows `source` (the posterior mean of the source), `mean` and `std` (of the target),
    [c, h, w] each; masks: rows `mask` [c, h, w]; words: rows `text`, `reward`, `scores` and `keep`.
    `seconds` is the time that this process spent on building, `encoded` the number of samples it
    encoded; both are 0 if the cache was complete.
    """

    settings: LatentSettings
    pictures: Layer
    masks: Layer | None
    words: Rows
    words_path: Path
    seconds: float = 0.0
    encoded: int = 0

    def __len__(self) -> int:
        return len(self.words)

    @property
    def buckets(self) -> tuple[NDArray[np.int64], ...]:
        """The numbers of the samples of each size."""
        return self.pictures.buckets

    def size_of(self, sample: int) -> Size:
        """Return the size of a sample's pictures."""
        return self.pictures.size_of(sample)


@dataclass(frozen=True, slots=True)
class LatentPlan:
    """The paths of a cache's parts, which are named by the fingerprint of their inputs."""

    settings: LatentSettings
    model: DiffusionModel
    rows: PublishedRows
    pictures: Path
    masks: Path | None
    words: Words

    @classmethod
    def of(
        cls,
        folder: Path,
        key: str,
        settings: LatentSettings,
        model: DiffusionModel,
        rows: PublishedRows,
    ) -> LatentPlan:
        separator, mirroring = separator_of(model.reward), Mirroring(settings.side_words)
        data = [_VERSION, key, [path.name for path in rows.paths], rows.counts]
        encoder = [parts_digest(model.folder, "vae"), _precision_of(model)]
        framing = asdict(settings.framing)
        soft = framing.pop("soft_masks")
        pictures: Json = [*data, *encoder, framing, settings.flip, settings.shard]
        tokenizers = parts_digest(model.folder, "tokenizer")
        words: Json = [*data, tokenizers, separator, mirroring.identity]
        named = folder / f"words-{fingerprint(words)}.bin"
        masks = folder / f"masks-{fingerprint([*pictures, soft])}" if settings.masks else None
        return cls(
            settings=settings,
            model=model,
            rows=rows,
            pictures=folder / f"pictures-{fingerprint(pictures)}",
            masks=masks,
            words=Words(named, model.texts, rows, separator, mirroring),
        )

    def jobs(self, files: Files) -> list[EncodeTask]:
        """Return the tasks for the missing shards."""
        found = []
        for number in range(self._count):
            pictures, masks = self._shard(self.pictures, number), None
            wanted = None if Shard.find(pictures) is not None else pictures
            if self.masks is not None:
                masks = self._shard(self.masks, number)
                masks = None if Shard.find(masks) is not None else masks
            if wanted is not None or masks is not None:
                found.append(self._job(number, wanted, masks, files))
        return found

    def _job(
        self, number: int, pictures: Path | None, masks: Path | None, files: Files
    ) -> EncodeTask:
        start = number * self.settings.shard
        return EncodeTask(
            rows=self.rows,
            start=start,
            stop=min(start + self.settings.shard, len(self.rows)),
            framing=self.settings.framing,
            flips=self.settings.flips,
            numbers=self._numbers,
            stored=StoredAutoencoder(self.model.folder, self._precision),
            pictures=pictures,
            masks=masks,
            files=files,
        )

    def sweep(self, files: Files) -> None:
        """Remove the temporary files of an interrupted build."""
        for folder in (self.pictures, self.masks, self.words.path.parent):
            if folder is not None:
                with explained("clear a cache's folder", folder):
                    sweep_temporaries(files, folder)

    def cache(self) -> LatentCache:
        """Return the opened cache; all its files must exist."""
        return LatentCache(
            settings=self.settings,
            pictures=self._layer(self.pictures, picture_row),
            masks=None if self.masks is None else self._layer(self.masks, mask_row),
            words=self.words.mapped(),
            words_path=self.words.path,
        )

    def _layer(self, folder: Path, kind: Callable[[tuple[int, ...], str], Row]) -> Layer:
        paths = [self._shard(folder, number) for number in range(self._count)]
        shards = [shard for path in paths if (shard := Shard.find(path)) is not None]

        def row(size: Size) -> Row:
            return kind(latent_shape(self.model.autoencoder, size), self._numbers)

        return Layer(shards, self.settings.shard, row, self.settings.flips)

    @property
    def _count(self) -> int:
        return -(-len(self.rows) // self.settings.shard)

    @property
    def _precision(self) -> str:
        return _precision_of(self.model)

    @property
    def _numbers(self) -> str:
        return "<f4" if self._precision == "float32" else "<f2"

    @staticmethod
    def _shard(folder: Path, number: int) -> Path:
        return folder / f"shard-{number:06d}.bin"


def _precision_of(model: DiffusionModel) -> str:
    """Return torch's name of the encoder's dtype."""
    return str(model.autoencoder.vae.dtype).removeprefix("torch.")
