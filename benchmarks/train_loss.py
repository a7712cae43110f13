"""Compare the loss on cached latents with the script's own formula, for the same random draws.

python train_loss.py FACTS BASE RUN SIZE

Each sample is one row. Conditions are dropped often, so that every combination occurs. The weights
of the first layer for the source, which start at zero in both trainings, are set at random.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler
from torch import Tensor
from torch.nn import functional

from editloop.images.codec import decode
from editloop.models.backbones.base_loading import load_base
from editloop.models.backbones.model import DiffusionModel
from editloop.models.sampling import noise_like
from editloop.schema import EditSample, Image
from editloop.training.data_checks import joint_content
from editloop.training.diffusion_data import open_data
from editloop.training.diffusion_settings import DiffusionTrainingSettings
from editloop.training.edits import EditTask
from editloop.training.objective import DropRates, Objective
from editloop.training.rows import PublishedRows

_DROP = 0.3  # probability of dropping each condition alone, and both
_SPREAD = 4.0  # factor on the initial spread of the last layer
_SEED = 29  # with it, all combinations of dropping occur in eight samples


def main() -> None:
    """Compare the losses, and write FACTS."""
    facts, base, run, size = sys.argv[1:]
    settings = DiffusionTrainingSettings(base=base, size=int(size), precision="fp32")
    model = load_base(base, settings.wanted("fp32", 0))
    _fill(model.network)
    runs = [Path(run)]
    data = open_data(model, settings, runs=runs, key=joint_content(runs), workers=1)
    drop = DropRates(_DROP, _DROP, _DROP)
    task = EditTask(model, data.train, None, Objective(drop=drop), bf16=False, seed=0)
    rows = list(PublishedRows.of(Path(run) / "data", "train").stream(0, len(data.train)))
    with torch.no_grad():
        found = _compared(model, task, rows)
    Path(facts).write_text(json.dumps(found), encoding="utf-8")


def _compared(model: DiffusionModel, task: EditTask, rows: Sequence[EditSample]) -> dict[str, Any]:
    numbers = np.arange(len(rows))
    batch = task.batch(numbers, _seeds(len(rows)))
    draws = _Draws.of(len(rows), tuple(batch.noise.shape[1:]))
    ours = task.loss(model.denoiser, batch).item()
    script = _script_loss(model, rows, draws).item()
    others = _script_loss(model, [*rows[1:], rows[0]], draws).item()
    dropped = draws.dropping
    return {
        "ours": ours,
        "script": script,
        "difference": abs(ours - script),
        "with_other_pictures": abs(ours - others),
        "dropped": [int(((dropped >= at) & (dropped < at + _DROP)).sum()) for at in _EDGES],
        "samples": len(rows),
    }


_EDGES = (0.0, _DROP, 2 * _DROP)  # ranges of the draw that drop the text, both, and the source


@dataclass(frozen=True, slots=True, eq=False)
class _Draws:
    """Repeat the random draws of `EditTask.batch`: all [batch] except `noise` [batch, c, h, w]."""

    noise: Tensor
    timesteps: Tensor
    dropping: Tensor
    seeds: list[int]

    @classmethod
    def of(cls, count: int, shape: tuple[int, ...]) -> _Draws:
        drawn = [torch.Generator().manual_seed(seed) for seed in _seeds(count)]
        noise = torch.stack([torch.randn(shape, generator=each) for each in drawn])
        level, dropping = torch.stack([torch.rand(4, generator=each) for each in drawn]).T[:2]
        seeds = [int(torch.randint(2**62, (), generator=each)) for each in drawn]
        return cls(noise, (1000 * level).long(), dropping, seeds)


def _script_loss(model: DiffusionModel, rows: Sequence[EditSample], draws: _Draws) -> Tensor:
    """Run the step of diffusers' `train_instruct_pix2pix.py` up to its loss, with given draws."""
    vae, scheduler = (
        model.autoencoder.vae,
        DDPMScheduler.from_pretrained(model.folder / "scheduler"),
    )
    flips = [seed % 2 == 1 for seed in draws.seeds]
    source = vae.encode(_values([each.source for each in rows], flips)).latent_dist.mode()
    found = vae.encode(_values([each.target for each in rows], flips)).latent_dist
    noise = noise_like(found.mean, [seed // 2 for seed in draws.seeds])
    latents = (found.mean + found.std * noise) * vae.config.scaling_factor
    noisy = scheduler.add_noise(latents, draws.noise, draws.timesteps)
    text = _encoded(model, [each.instruction for each in rows])
    text = torch.where((draws.dropping < 2 * _DROP).view(-1, 1, 1), _encoded(model, [""]), text)
    unseen = (draws.dropping >= _DROP) & (draws.dropping < 3 * _DROP)
    source = source * (1 - unseen.to(source.dtype)).view(-1, 1, 1, 1)
    output = model.network(torch.cat([noisy, source], dim=1), draws.timesteps, text).sample
    return functional.mse_loss(output.float(), draws.noise.float(), reduction="mean")


def _encoded(model: DiffusionModel, texts: list[str]) -> Tensor:
    parts: Any = model.texts
    tokenizer = parts.tokenizer
    ids = tokenizer(
        texts,
        max_length=tokenizer.model_max_length,
        padding="max_length",
        truncation=True,
        return_tensors="pt",
    ).input_ids
    encoded: Tensor = parts.encoder(ids)[0]
    return encoded


def _values(images: Sequence[Image | None], flips: Sequence[bool]) -> Tensor:
    """Return pictures as in the script, in -1..1, [batch, 3, height, width]."""
    pixels = [decode(image.bytes) for image in images if image is not None]
    turned = [each[:, ::-1] if flip else each for each, flip in zip(pixels, flips, strict=True)]
    values = torch.from_numpy(np.stack(turned)).permute(0, 3, 1, 2)
    return 2 * (values / 255) - 1


def _fill(unet: Any) -> None:
    """Set random weights for the source, and scale the output to about the size of the noise."""
    first = unet.conv_in.weight
    half = first.shape[1] // 2
    random = torch.Generator().manual_seed(0)
    drawn = torch.randn(first[:, half:].shape, generator=random)
    with torch.no_grad():
        first[:, half:] = drawn * first[:, :half].std()
        unet.conv_out.weight *= _SPREAD


def _seeds(count: int) -> list[int]:
    return list(range(_SEED, _SEED + count))


if __name__ == "__main__":
    main()
