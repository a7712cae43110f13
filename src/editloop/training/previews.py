"""Previews during training: a few held-out edits by the current network, as one picture.

They are made as `editloop edit` makes them by default: with the settings of the model's family,
and, where the model takes rewards, asked for the best.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from editloop.errors import RecipeError
from editloop.images.codec import encode_png
from editloop.models.backbones.model import DiffusionModel
from editloop.models.backbones.rewarding import rewards_for
from editloop.models.backbones.sampling import denoised
from editloop.models.guidance import branches
from editloop.runtime.seeding import derive_seed
from editloop.storage.files import Files, explained, replace_file
from editloop.training.edits import Samples
from editloop.training.finite import diverged

__all__ = ["Looks"]


@dataclass(frozen=True, slots=True)
class Looks:
    """Write `step-00000500.png` into a folder: one row per edit with source, target and result.

    The edits and their noise are the same every time, so previews can be compared. Without a folder
    nothing is written: only one of several processes writes.
    """

    model: DiffusionModel
    samples: Samples
    count: int
    folder: Path | None
    seed: int

    def __call__(self, _network: nn.Module, step: int) -> None:
        rows, defaults = [], self.model.family.editing
        for number in np.concatenate(self.samples.buckets)[: self.count]:
            clean, inputs = self.samples.read(np.array([number]), None)
            device = self.model.device
            random = torch.Generator().manual_seed(derive_seed(self.seed, "look", int(number)))
            made = denoised(
                self.model,
                inputs.to(device).with_(rewards_for(self.model, 1)),
                [random],
                scheduler=self.model.scheduler,
                steps=defaults.steps,
                chosen=branches(defaults.text_guidance, defaults.image_guidance),
            )
            source = self.model.autoencoder.unshown(inputs.source.to(device))
            try:
                pictures = [self.model.decode(each)[0] for each in (source, clean.to(device), made)]
            except RecipeError as error:
                raise diverged("a preview (setting `samples`)", step) from error
            rows.append(np.hstack(pictures))
        if self.folder is None:
            return
        width = max(row.shape[1] for row in rows)
        padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
        with explained("write samples", self.folder):
            path = self.folder / f"step-{step:08d}.png"
            replace_file(Files(), path, encode_png(np.vstack(padded)))
