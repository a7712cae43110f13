"""Train in this process, as a recipe's `diffusion` part does, and report the work done.

python train_ours.py FACTS STEPS RUN SETTINGS (a JSON mapping)
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

from editloop.loop.parts import PartContext
from editloop.schema import Json
from editloop.training import diffusion_data
from editloop.training.diffusion import DiffusionTraining
from editloop.training.diffusion_settings import DiffusionTrainingSettings
from train_counting import Enough, Steps

_STEPS = 1_000_000  # more than are ever made: no checkpoint, no regular end
_NAME = "benchmark"


def main() -> None:
    """Train for some steps, and write FACTS."""
    facts, count, run, settings = sys.argv[1:]
    given = {**json.loads(settings), "steps": _STEPS, "checkpoint_every": _STEPS}
    training = DiffusionTraining(DiffusionTrainingSettings.model_validate(given))
    steps = Steps(int(count))
    steps.watch()
    cache: dict[str, Json] = {}
    _watch_cache(cache, steps)
    with suppress(Enough):
        training.run(_context(Path(run)))
    steps.tell(facts, cache=cache)


def _watch_cache(told: dict[str, Json], steps: Steps) -> None:
    """The cost of building the latent cache: seconds, samples, and pictures encoded."""
    bare = diffusion_data.open_latents

    @wraps(bare)
    def call(*arguments: Any, **options: Any) -> Any:
        before = steps.pictures
        cache = bare(*arguments, **options)
        told["seconds"] = cache.seconds
        told["samples"] = cache.encoded
        told["pictures"] = steps.pictures - before
        return cache

    vars(diffusion_data)["open_latents"] = call


def _context(run: Path) -> PartContext:
    """Return the context that the loop would pass to the part, for a new training."""
    folders = {each: run / _NAME / each for each in ("work", "cache", "output")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    return PartContext(name=_NAME, seed=0, run=run, inputs="benchmark", **folders)


if __name__ == "__main__":
    main()
