"""A published data set as training samples: cached latents, or pictures encoded on each read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from editloop.models.backbones.model import DiffusionModel
from editloop.schema import Json
from editloop.showing.terminal import escape
from editloop.storage.versions import work_folder
from editloop.training.data_checks import HELD_OUT, JOINED, held_out, rows_of
from editloop.training.diffusion_settings import DiffusionTrainingSettings
from editloop.training.direct_samples import Augmentation, DirectSamples
from editloop.training.edits import Samples
from editloop.training.kept_samples import without
from editloop.training.latent_samples import LatentSamples
from editloop.training.latents import LatentSettings, open_latents
from editloop.training.rows import PublishedRows

__all__ = ["EditData", "open_data"]

_CACHE = "latents"

_Samples = LatentSamples | DirectSamples


@dataclass(frozen=True, slots=True)
class EditData:
    """The training samples, and the held-out ones if the data set has them.

    seconds: the time that this process spent on building their cache. prompts: the prompt of each
    training sample, if one sample of each is drawn; lost: how many edits lie mostly outside of
    their crop, and of how many.
    """

    train: Samples
    heldout: Samples | None
    seconds: float
    lost: tuple[int, int]
    prompts: NDArray[np.int64] | None = None

    @property
    def facts(self) -> dict[str, Json]:
        """The number of training samples, and of their prompts if these are drawn."""
        drawn = {} if self.prompts is None else {"prompts": int(self.prompts.max()) + 1}
        return {"samples": len(self.train), **drawn}


@dataclass(frozen=True, slots=True)
class _Opening:
    """The arguments that are shared by all splits of the data."""

    model: DiffusionModel
    settings: DiffusionTrainingSettings
    runs: Sequence[Path]
    key: str
    workers: int

    @property
    def caches(self) -> Path:
        """The first run's folder for latents, with one subfolder for each version of the data."""
        return work_folder(self.runs[0]) / _CACHE

    def opened(self, rows: PublishedRows) -> tuple[_Samples, float]:
        """Return rows as samples, and the seconds spent on building their cache."""
        settings, model = self.settings, self.model
        if not settings.cache:
            drawn = Augmentation(settings.flip, settings.zoom, settings.side_words)
            framing = settings.framing
            return DirectSamples(rows, model, framing, settings.conditions, drawn), 0.0
        cache = open_latents(
            self.caches / self.key,
            self.key,
            LatentSettings(
                settings.framing,
                settings.flip,
                masks="mask" in settings.conditions,
                side_words=settings.side_words,
            ),
            model,
            rows,
            workers=self.workers,
        )
        return LatentSamples(cache, model, settings.conditions), cache.seconds


def open_data(
    model: DiffusionModel,
    settings: DiffusionTrainingSettings,
    *,
    runs: Sequence[Path],
    key: str,
    workers: int,
    dropped: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
) -> EditData:
    """Open the samples of runs' data sets, with a cache that trainings with equal settings share.

    `dropped` are the numbers of the samples to leave out, by split.

    Raises TrainingError or ImageError for a sample that cannot be trained on.
    """
    opening = _Opening(model, settings, runs, key, workers)
    rows = rows_of(runs, settings.split)
    train, seconds = opening.opened(rows)
    tested = held_out(runs)
    heldout, more = (None, 0.0) if tested is None else opening.opened(tested)
    if seconds + more:
        _report_stale_caches(opening.caches, key)
    prompts = rows.prompts() if settings.draw == "prompts" else None
    return EditData(
        without(train, dropped.get(settings.split, ())),
        None if heldout is None else without(heldout, dropped.get(HELD_OUT, ())),
        seconds + more,
        train.lost,
        prompts,
    )


def _report_stale_caches(caches: Path, key: str) -> None:
    """Print how much space the latents of earlier versions of the data take."""
    old = [path for path in caches.iterdir() if not path.name.startswith((".", JOINED, key))]
    files = [path for place in old for path in (place, *place.rglob("*")) if path.is_file()]
    if files:
        size = sum(path.stat().st_size for path in files) / 1e9
        names = ", ".join(sorted(path.name for path in old))
        console = Console(stderr=True, soft_wrap=True, highlight=False)
        text = f"latents of data that is no longer here take {size:.2f} GB and can be removed, in "
        console.print(escape(f"{text}{caches}: {names}"))
