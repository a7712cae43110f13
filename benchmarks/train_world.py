"""The training benchmark's inputs: a base model with random weights and a published data set.

The base is Stable Diffusion 1.5 in true size, with its published four input channels; both sides
add the source's channels themselves. The pictures are crops of real photos bundled with Python
packages; both sides read the same Parquet file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from editloop.images.codec import encode_png
from editloop.models.pipeline_loading import quietly
from editloop.runtime.seeding import generator
from editloop.schema import EditSample, Image
from editloop.storage.manifests import record_manifest
from editloop.storage.samples import arrow_schema, to_row
from evaluate_world import crop, letter_tokenizer, pasted

__all__ = ["TrainWorld", "make_train_world"]


@dataclass(frozen=True, slots=True)
class TrainWorld:
    """The paths of the inputs: `base` is a pipeline's folder, `run` a run folder with data."""

    folder: Path
    base: Path
    size: int

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder / "run"

    @property
    def data(self) -> Path:
        """The published data set in it."""
        return self.run / "data"


def make_train_world(folder: Path, base: Path | None, samples: int, size: int) -> TrainWorld:
    """Make a data set of square pictures of `size` px, and a base model if none is given."""
    world = TrainWorld(folder, base or folder / "base", size)
    if base is None:
        _save_base(world.base)
    world.data.mkdir(parents=True)
    rows = [to_row(_sample(index, size)) for index in range(samples)]
    table = pa.Table.from_pylist(rows, schema=arrow_schema())
    pq.write_table(table, world.data / "train-00000-of-00001.parquet")
    record_manifest(world.run, "data", list(world.data.iterdir()))
    return world


def _sample(index: int, size: int) -> EditSample:
    """Make an edit that pastes a piece of another photo."""
    rng = generator("benchmark", "train", index)
    at = tuple(int(value) for value in rng.integers(0, size // 2, 2))
    source = crop(rng, size)
    target = pasted(source, at, crop(rng, size // 2))
    return EditSample(
        id=f"benchmark/{index}",
        source=Image(encode_png(source)),
        target=Image(encode_png(target)),
        instruction=f"put something else at row {at[0]} and column {at[1]}",
    )


def _save_base(folder: Path) -> None:
    import torch
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    from stable_diffusion import autoencoder, schedule, text_encoder, unet

    tokenizer = letter_tokenizer()
    with torch.random.fork_rng(), quietly():
        torch.manual_seed(0)
        StableDiffusionPipeline(
            vae=autoencoder(),
            text_encoder=text_encoder(tokenizer),
            tokenizer=tokenizer,
            unet=unet(),
            scheduler=PNDMScheduler(**schedule(), set_alpha_to_one=False, skip_prk_steps=True),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(folder)
