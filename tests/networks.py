"""Tiny networks and data that the tests of models, training and editors share."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from diffusers import UNet2DConditionModel

from editloop.images.codec import encode_png
from editloop.models.inputs import EditInputs
from editloop.models.pocket import PocketModel, PocketSettings, Vocabulary
from editloop.models.tokens import train_tokenizer
from editloop.runtime.seeding import generator
from editloop.schema import EditSample, Image, Score
from editloop.storage.samples import arrow_schema, to_row

SIZE = 32
TEXTS = ["make it brighter", "make it darker", "None;None;None", "nothing changed;None;None"]


def vocabulary() -> Vocabulary:
    return Vocabulary(train_tokenizer(TEXTS), text=32, reward=32)


def settings(*conditions: str, **others: object) -> PocketSettings:
    return PocketSettings(size=SIZE, channels=(8, 16), conditions=("source", *conditions), **others)


def pocket(*conditions: str, seed: int = 0, **others: object) -> PocketModel:
    return PocketModel(settings(*conditions, **others), vocabulary(), seed=seed).eval()


def awake(network: torch.nn.Module, seed: int = 0) -> None:
    """Fill layers that start at zero, so that what they carry shows."""
    random = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        if not parameter.detach().any():
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=random)


def stable_diffusion_like(in_channels: int = 8) -> UNet2DConditionModel:
    """A UNet of Stable Diffusion 1.5's plan, tiny."""
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=in_channels,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        norm_num_groups=4,
        cross_attention_dim=12,
        attention_head_dim=4,
    ).eval()


def inputs_for(model: PocketModel, batch: int = 2, seed: int = 0) -> EditInputs:
    """Random conditions of the kinds that a model takes."""
    random = torch.Generator().manual_seed(seed)
    chosen = model.settings
    side = chosen.size // chosen.patch
    count = len(model.vocabulary.tokenizer)
    inputs = EditInputs(
        source=torch.rand(batch, 3 * chosen.patch**2, side, side, generator=random) * 2 - 1,
        text=torch.randint(3, count, (batch, 32), generator=random),
    )
    if "mask" in chosen.conditions:
        mask = torch.rand(batch, 1, chosen.size, chosen.size, generator=random).round()
        inputs = inputs.with_({"mask": mask})
    if "reward" in chosen.conditions:
        rewards = {
            "scores": torch.rand(batch, 3, generator=random) * 5,
            "keep": torch.ones(batch, 3),
            "reward_text": torch.randint(3, count, (batch, 32), generator=random),
        }
        inputs = inputs.with_(rewards)
    return inputs


def edit_samples(count: int, split: str = "train") -> list[EditSample]:
    """Noise made brighter or darker, with scores for every other sample."""
    made = []
    for index in range(count):
        pixels = generator(split, index).integers(60, 200, (SIZE, SIZE, 3), dtype=np.uint8)
        brighter = index % 2 == 0
        target = pixels + np.uint8(40) if brighter else pixels - np.uint8(40)
        made.append(
            EditSample(
                id=f"{split}/{index}",
                source=Image(encode_png(pixels)),
                target=Image(encode_png(target)),
                mask=Image(encode_png(np.full((SIZE, SIZE), 255, np.uint8))),
                instruction=TEXTS[0] if brighter else TEXTS[1],
                scores={
                    "following": Score(5.0 if brighter else 0.0, brighter, "None"),
                    "preserving": Score(5.0, True, "None"),
                    "quality": Score(5.0, True, "None"),
                },
            )
        )
    return made


def publish(run: Path, split: str, samples: list[EditSample]) -> None:
    """A published split, as a run folder holds it."""
    table = pa.Table.from_pylist([to_row(each) for each in samples], schema=arrow_schema())
    (run / "data").mkdir(parents=True, exist_ok=True)
    pq.write_table(table, run / "data" / f"{split}-00000-of-00001.parquet")
