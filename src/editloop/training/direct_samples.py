"""Samples that are encoded on each read, for random augmentation that a cache cannot hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from editloop.images.codec import decode
from editloop.models.backbones.model import DiffusionModel
from editloop.models.inputs import EditInputs
from editloop.models.masks import mask_picture
from editloop.models.reward import separator_of
from editloop.models.sampling import noise_like
from editloop.runtime.prefetching import prefetched
from editloop.runtime.seeding import generator
from editloop.schema import EditSample, Pixels
from editloop.training.buckets import CENTRE, Size, View
from editloop.training.cache import reward_text_of, rewards_of
from editloop.training.data_facts import lost_edits
from editloop.training.framing import Framing
from editloop.training.latent_encoding import encoded
from editloop.training.latent_samples import blanks_of
from editloop.training.latents import check_framing
from editloop.training.mirroring import Mirroring
from editloop.training.rows import PublishedRows, RowReader
from editloop.training.triples import Triple

__all__ = ["Augmentation", "DirectSamples"]


_CHECKED = 500  # edits whose crops are checked
_DECODERS = 4  # threads


@dataclass(frozen=True, slots=True)
class Augmentation:
    """The distribution of random views: flip, zoom and crop.

    A view is flipped with probability 1/2, enlarged up to `zoom` times beyond the scale that covers
    its size (InstructPix2Pix's range of resizing), and cropped at a uniform random place. An edit
    whose words rule out mirroring, such as `side_words`, is not flipped.
    """

    flip: bool = True
    zoom: float = 1.0
    side_words: tuple[str, ...] = ()

    def view(self, sample: EditSample, seed: int) -> View:
        """Return the random view of a sample for a seed."""
        view = self.of(seed)
        if view.flip and not Mirroring(self.side_words).allows(sample):
            return replace(view, flip=False)
        return view

    def of(self, seed: int) -> View:
        """Return the random view for a seed, of a sample that may be flipped."""
        random = generator("view", seed)
        flip, zoom = random.random() < 0.5, random.uniform(1.0, self.zoom)
        return View(zoom, (random.random(), random.random()), self.flip and flip)


class DirectSamples:
    """Samples for `EditTask`, read from the published files and encoded by the model.

    A sample's view and its target's noise depend on its own seed only; without seeds the crop is
    central and the target is the posterior mean. With buckets, every source is decoded once in
    advance to find its shape.
    """

    def __init__(
        self,
        rows: PublishedRows,
        model: DiffusionModel,
        framing: Framing,
        conditions: Sequence[str],
        augmentation: Augmentation | None = None,
    ) -> None:
        check_framing(framing, model.multiple, rows)
        self._rows = rows
        self._reader = RowReader(rows)
        self._model = model
        self._framing = framing
        self._conditions = frozenset(conditions)
        self._augmentation = augmentation or Augmentation()
        self._sizes = framing.sizes
        self._size = np.fromiter(self._size_numbers(), np.int16, len(rows))

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def buckets(self) -> Sequence[NDArray[np.int64]]:
        return tuple(np.flatnonzero(self._size == at) for at in np.unique(self._size))

    def read(
        self, samples: NDArray[np.int64], seeds: Sequence[int] | None
    ) -> tuple[Tensor, EditInputs]:
        read, views = self._reader.read(samples.tolist()), [CENTRE] * len(samples)
        if seeds is not None:
            views = list(map(self._augmentation.view, read, seeds))
        triples = [self._framing.of(each, view) for each, view in zip(read, views, strict=True)]
        found = encoded(self._model.autoencoder, [each.target for each in triples])
        target = found.mean
        if seeds is not None:
            target = found.at(noise_like(target, seeds))
        inputs = EditInputs(
            source=self._shown([each.source for each in triples]),
            text=self._model.texts.ids([each.instruction for each in read]),
            mask=self._masks(triples) if "mask" in self._conditions else None,
        )
        if "reward" in self._conditions:
            inputs = inputs.with_(self._rewards(read))
        return self._model.autoencoder.learned(target), inputs

    @property
    def lost(self) -> tuple[int, int]:
        """How many edits lie mostly outside of a centre crop, and of how many: the first ones."""
        return lost_edits(self._rows, self._framing, _CHECKED)

    def shape(self, sample: int) -> tuple[int, int, int]:
        return self._model.noise_shape(*self._size_of(sample))

    def blanks(self, sample: int) -> Mapping[str, Tensor]:
        return blanks_of(self._model, self._size_of(sample), self._conditions)

    def _size_of(self, sample: int) -> Size:
        return self._sizes[self._size[sample]]

    def _size_numbers(self) -> Iterator[int]:
        """Yield the index of each sample's size in `_sizes`."""
        if len(self._sizes) == 1:
            yield from (0 for _ in range(len(self)))
            return

        def place(sample: EditSample) -> int:
            height, width = decode(sample.source_image.bytes).shape[:2]
            return self._sizes.index(self._framing.size_of(height, width))

        yield from prefetched(place, self._rows.stream(0, len(self)), _DECODERS)

    def _shown(self, pictures: Sequence[Pixels]) -> Tensor:
        autoencoder = self._model.autoencoder
        return autoencoder.shown(encoded(autoencoder, pictures).mean)

    def _masks(self, triples: Sequence[Triple]) -> Tensor:
        return self._shown([mask_picture(each.whole_mask) for each in triples])

    def _rewards(self, samples: Sequence[EditSample]) -> dict[str, Tensor]:
        separator = separator_of(self._model.reward)
        texts = [reward_text_of(each, separator) for each in samples]
        scores, keep = zip(*map(rewards_of, samples), strict=True)
        return {
            "scores": torch.tensor(scores, dtype=torch.float32),
            "keep": torch.tensor(keep, dtype=torch.float32),
            "reward_text": self._model.texts.ids(texts),
        }
