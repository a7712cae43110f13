"""A published data set as a diffusion model learns from it: cached latents, or pixels each time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from editloop.models.backbones.model import DiffusionModel
from editloop.training.data_checks import HELD_OUT, has_split
from editloop.training.diffusion_settings import DiffusionTrainingSettings
from editloop.training.direct_samples import Augmentation, DirectSamples
from editloop.training.latent_samples import LatentSamples
from editloop.training.latents import LatentSettings, open_latents
from editloop.training.rows import PublishedRows
from editloop.versions import work_folder

__all__ = ["EditData", "open_data"]

_CACHE = "latents"

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
        if not settings.cache:
            drawn = Augmentation(settings.flip, settings.zoom)
            framing = settings.framing
            return DirectSamples(rows, model, framing, settings.conditions, drawn), 0.0
        cache = open_latents(
            work_folder(self.run) / _CACHE,
            self.key,
            LatentSettings(settings.framing, settings.flip, "mask" in settings.conditions),
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

    Raises TrainingError or ImageError for a sample that cannot be learned from.
    """
    opening = _Opening(model, settings, run, key, workers)
    train, seconds = opening.split(settings.split)
    if not has_split(run, HELD_OUT):
        return EditData(train, None, seconds)
    heldout, more = opening.split(HELD_OUT)
    return EditData(train, heldout, seconds + more)
