"""Samples of a pixel cache in the form that a pocket model takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from editloop.models.inputs import EditInputs
from editloop.models.pocket import PocketModel, mask_tensor
from editloop.models.tokens import to_ids
from editloop.training.cache import EditCache

__all__ = ["PocketSamples"]


class PocketSamples:
    """Samples for `EditTask`: texts as ids, pictures as unshuffled pixels.

    Reading is deterministic, and all pictures have one size.
    """

    def __init__(self, cache: EditCache, model: PocketModel) -> None:
        words = model.vocabulary
        self._cache = cache
        self._model = model
        self._text = torch.from_numpy(to_ids(words.tokenizer, cache.texts, words.text))
        self._reward = torch.from_numpy(to_ids(words.tokenizer, cache.reward_texts, words.reward))

    def __len__(self) -> int:
        return len(self._cache)

    @property
    def buckets(self) -> Sequence[NDArray[np.int64]]:
        return (np.arange(len(self._cache)),)

    def read(
        self,
        samples: NDArray[np.int64],
        seeds: Sequence[int] | None,  # noqa: ARG002
    ) -> tuple[Tensor, EditInputs]:
        cache, conditions = self._cache, self._model.settings.conditions
        rows = cache.pictures[samples]
        encode = self._model.encode
        inputs = EditInputs(
            source=encode(torch.from_numpy(rows[..., :3])),
            text=self._text[cache.instruction[samples]],
            mask=mask_tensor(rows[..., 6]) if "mask" in conditions else None,
        )
        if "reward" in conditions:
            inputs = inputs.with_(
                {
                    "scores": torch.from_numpy(cache.scores[samples]),
                    "keep": torch.from_numpy(cache.keep[samples]),
                    "reward_text": self._reward[cache.reward[samples]],
                }
            )
        return encode(torch.from_numpy(rows[..., 3:6])), inputs

    def shape(self, sample: int) -> tuple[int, int, int]:  # noqa: ARG002
        patch, size = self._model.patch, self._model.settings.size
        return 3 * patch**2, size // patch, size // patch

    def blanks(self, sample: int) -> Mapping[str, Tensor]:  # noqa: ARG002
        text, reward = self._model.empty_texts()
        return {"text": text, "reward_text": reward, "mask": torch.ones(())}
