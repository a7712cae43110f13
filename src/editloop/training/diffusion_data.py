"""A published data set as a diffusion model learns from it: cached latents, or pixels each time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from editloop.errors import TrainingError
from editloop.models.backbones.model import DiffusionModel
from editloop.training.diffusion_settings import DiffusionTrainingSettings
from editloop.training.direct_samples import Augmentation, DirectSamples
from editloop.training.framing import Framing
from editloop.training.latent_samples import LatentSamples
from editloop.training.latents import LatentSettings, open_latents
from editloop.training.rows import PublishedRows
from editloop.versions import work_folder

__all__ = ["EditData", "open_data"]

_HELD_OUT = "heldout"
_CACHE = "latents"
_SIDES = 64  # sides of buckets are multiples of this

_Samples = LatentSamples | DirectSamples


@dataclass(frozen=True, slots=True)
class EditData:
    """The training samples, and the held-out ones where the data set has them.

    seconds: what building their cache took here.
    """

    train: _Samples
    heldout: _Samples | None
    seconds: float


@dataclass(frozen=True, slots=True)
class _Opening:
    """How the splits of one data set are opened."""

    model: DiffusionModel
    settings: DiffusionTrainingSettings
    run: Path
    key: str
    workers: int

    def split(self, name: str) -> tuple[_Samples, float]:
        """A split's samples, and the seconds that building their cache took."""
        rows = PublishedRows.of(self.run / "data", name)
        settings, model = self.settings, self.model
        framing = Framing(
            settings.size,
            settings.buckets,
            min(_SIDES, settings.size),
            settings.soft_masks,
        )
        if not settings.cache:
            flips = Augmentation(flip=settings.flip)
            return DirectSamples(rows, model, framing, settings.conditions, flips), 0.0
        cache = open_latents(
            work_folder(self.run) / _CACHE,
            self.key,
            LatentSettings(framing, settings.flip, "mask" in settings.conditions),
            model,
            rows,
            workers=self.workers,
        )
        return LatentSamples(cache, model, settings.conditions), cache.seconds


def open_data(
    model: DiffusionModel,
    settings: DiffusionTrainingSettings,
    *,
    run: Path,
    key: str,
    workers: int,
) -> EditData:
    """The samples of a run's data set, cached beside it for every training that reads them alike.

    Raises TrainingError where they cannot be learned from under the wanted conditions.
    """
    opening = _Opening(model, settings, run, key, workers)
    train, seconds = opening.split(settings.split)
    if "reward" in settings.conditions:
        _check_rewards(train, model, settings)
    if next((run / "data").glob(f"{_HELD_OUT}-*.parquet"), None) is None:
        return EditData(train, None, seconds)
    heldout, more = opening.split(_HELD_OUT)
    return EditData(train, heldout, seconds + more)


def _check_rewards(
    samples: _Samples, model: DiffusionModel, settings: DiffusionTrainingSettings
) -> None:
    if not samples.scored:
        raise TrainingError(
            "the training data has no reward scores",
            value=settings.split,
            fix="judge it first (`editloop judge`), or leave `reward` out of `conditions`",
        )
    if getattr(model.condition("reward"), "droppable", True):
        return
    if settings.drop.reward or not samples.wholly_scored:
        raise TrainingError(
            "the released reward condition knows no missing score",
            value=f"drop.reward {settings.drop.reward}"
            if settings.drop.reward
            else "samples without scores in all perspectives",
            fix="set drop: {reward: 0} and train on samples with all scores, or use variant: paper",
        )
