"""The benchmark's data: candidates of a few sources as a published set, and two encoders.

Everything is generated from a fixed seed: sources are crops of real photos, candidates mix theirs
with another crop, and weights are random, in the true size of UltraEdit's encoders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from editloop.images.codec import encode_png
from editloop.runtime.seeding import generator
from editloop.schema import EditSample, Image
from editloop.storage.samples import arrow_schema, to_row
from evaluate_world import crop, letter_tokenizer, save_network

__all__ = ["FilterWorld", "make_filter_world", "specs"]

_CLIP_TEXT = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}
_CLIP_VISION = {
    **{"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16},
    **{"num_hidden_layers": 24, "image_size": 224, "patch_size": 14},
}
_DINOV2 = {
    **{"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16},
    **{"image_size": 518, "patch_size": 14, "num_register_tokens": 4},
}


@dataclass(frozen=True, slots=True)
class FilterWorld:
    """The data's folder and the folders of the encoders."""

    data: Path
    clip: str
    dinov2: str


def specs(clip: str, dinov2: str, precision: str) -> Mapping[str, str]:
    """Return UltraEdit's metrics, by the names of its columns."""
    of_clip = f"model={clip}&crop=none&long_texts=cut&precision={precision}"
    return {
        "clip_in": f"clip_in=clip:text_source?{of_clip}",
        "clip_out": f"clip_out=clip:text?{of_clip}",
        "clip_direction": f"clip_direction=clip:direction?{of_clip}",
        "clip_image": f"clip_image=clip:image?{of_clip}",
        "dinov2": f"dinov2=dinov2?model={dinov2}&crop=nearest&precision={precision}",
        "ssim7": "ssim7=pixels:ssim7",
    }


def make_filter_world(
    folder: Path, sources: int, candidates: int, size: int, encoders: tuple[str | None, str | None]
) -> FilterWorld:
    """Make a set of square pictures of `size` px; encoders that are None are generated."""
    clip, dinov2 = encoders
    data = folder / "data"
    data.mkdir(parents=True)
    rows = [to_row(each) for each in _samples(sources, candidates, size)]
    table = pa.Table.from_pylist(rows, schema=arrow_schema())
    pq.write_table(table, data / "train-00000-of-00001.parquet", row_group_size=16)
    return FilterWorld(
        data, clip or _save_clip(folder / "clip"), dinov2 or _save_dinov2(folder / "dinov2")
    )


def _samples(sources: int, candidates: int, size: int) -> Iterator[EditSample]:
    for at in range(sources):
        rng = generator("filters", at)
        source, other = crop(rng, size), crop(rng, size)
        for number in range(candidates):
            share = rng.uniform(0.05, 0.95)
            mixed = ((1 - share) * source + share * other).astype(np.uint8)
            yield EditSample(
                id=f"{at}/{number}",
                source=Image(encode_png(source)),
                target=Image(encode_png(mixed)),
                instruction=f"mix them by {number}",
                source_caption=f"photo {at}",
                target_caption=f"photo {at} mixed by {number}",
            )


def _save_clip(folder: Path) -> str:
    """Make a CLIP ViT-L/14 and its tokenizer."""
    from transformers import CLIPConfig, CLIPModel

    config = CLIPConfig(text_config=_CLIP_TEXT, vision_config=_CLIP_VISION, projection_dim=768)
    save_network(folder, lambda: CLIPModel(config))
    letter_tokenizer().save_pretrained(folder)
    return str(folder)


def _save_dinov2(folder: Path) -> str:
    """Make a DINOv2 ViT-L/14 with registers."""
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    config = Dinov2WithRegistersConfig(**_DINOV2)
    save_network(folder, lambda: Dinov2WithRegistersModel(config))
    return str(folder)
