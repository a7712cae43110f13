"""A small published data set for tests of latent caches, and a tiny model that reads it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from editloop.images.codec import encode_png
from editloop.runtime.seeding import generator
from editloop.schema import EditSample, Image
from editloop.training.framing import Framing
from editloop.training.latents import LatentCache, LatentSettings, open_latents
from editloop.training.rows import PublishedRows
from networks import edit_samples, publish
from tiny_models import model_of

__all__ = ["SHAPES", "SQUARE", "files_of", "model_at", "opened", "published_rows", "varied"]

SHAPES = ((32, 32), (48, 24), (20, 60))
SQUARE = LatentSettings(Framing(16, multiple=8), masks=True, shard=4)


def varied(count: int, shapes: Sequence[tuple[int, int]] = SHAPES) -> list[EditSample]:
    """Edits of noise in several shapes; every third one has a region, every third a blank mask."""
    made = []
    for index, sample in enumerate(edit_samples(count)):
        height, width = shapes[index % len(shapes)]
        random = generator("varied", index)
        source, target = random.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
        mask = np.zeros((height, width), np.uint8)
        if index % 3 == 0:
            mask[height // 4 : height // 2, width // 3 :] = 255
            mask[height // 2 : 3 * height // 4, 2 * width // 3 :] = 255
        stored = [Image(encode_png(each)) for each in (source, target, mask)]
        changes = dict(zip(("source", "target", "mask"), stored, strict=True))
        made.append(replace(sample, **{**changes, **({"mask": None} if index % 3 == 2 else {})}))
    return made


def published_rows(
    run: Path, samples: Sequence[EditSample], group: int | None = None
) -> PublishedRows:
    """The samples as a run publishes them, `group` of them in a row group."""
    publish(run, "train", list(samples))
    if group is not None:
        (path,) = (run / "data").glob("train-*")
        pq.write_table(pq.read_table(path), path, row_group_size=group)
    return PublishedRows.of(run / "data", "train")


def model_at(folder: Path, *conditions: str, **wanted: Any) -> Any:
    """A tiny Stable Diffusion."""
    return model_of(folder / "bases", "sd", *conditions, **wanted)


def opened(
    folder: Path,
    samples: Sequence[EditSample],
    settings: LatentSettings = SQUARE,
    *,
    model: Any = None,
    cache: str = "cache",
    **others: Any,
) -> LatentCache:
    """The cache of some samples in a folder, and all it takes to make it."""
    rows = published_rows(folder / "run", samples)
    model = model or model_at(folder, "mask")
    return open_latents(folder / cache, "key", settings, model, rows, **others)


def files_of(folder: Path) -> dict[str, bytes]:
    """What a cache's files hold, but for the times."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "seconds.json" and path.suffix != ".lock"
    }
