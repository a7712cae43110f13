"""Tiny bases of each family that is trained to edit, and random edits for them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from editloop.models.backbones.base_loading import load_base
from editloop.models.backbones.base_request import Wanted
from editloop.models.backbones.model import DiffusionModel, Lora
from editloop.models.inputs import EditInputs
from editloop.models.reward import RewardSettings
from tiny_baselines import save_flux_kontext, save_stable_diffusion, save_stable_diffusion_xl
from tiny_pipelines import save_instruct_pix2pix, save_instruct_pix2pix_xl, save_sd3, tiny_unet

__all__ = ["LORA", "answer", "base", "inputs_for", "learned", "model_of", "pictures"]

LORA = Lora(rank=2, alpha=6)
TEXTS = ["make it red", "put a hat on"]
_SAVED: dict[str, Callable[[Path], Path]] = {
    "sd": lambda folder: save_stable_diffusion(folder, tiny_unet()),
    "sd-edit": save_instruct_pix2pix,
    "sd-inpaint": lambda folder: save_stable_diffusion(folder, tiny_unet(9)),
    "sdxl": save_stable_diffusion_xl,
    "sdxl-edit": save_instruct_pix2pix_xl,
    "sd3": save_sd3,
    "sd3-short": lambda folder: save_sd3(folder, t5=False),
    "flux-kontext": save_flux_kontext,
}


def base(folder: Path, name: str) -> Path:
    """A base's folder inside another; it is made once."""
    own = folder / name
    return own if own.is_dir() else _SAVED[name](own)


def model_of(folder: Path, name: str, *conditions: str, **wanted: Any) -> DiffusionModel:
    """A base with room for conditions beside its source; the names of variants are rewards."""
    variants = ("editloop", "paper", "released")
    variant = next((each for each in conditions if each in variants), None)
    chosen = Wanted(
        conditions=("source", *("reward" if each == variant else each for each in conditions)),
        reward=None if variant is None else RewardSettings(variant=variant),
        **wanted,
    )
    model = load_base(str(base(folder, name)), chosen)
    model.denoiser.eval()
    return model


def learned(model: DiffusionModel) -> DiffusionModel:
    """The model after a training of a kind: what is trained, and that alone, has changed."""
    random = torch.Generator().manual_seed(5)
    for parameter in model.denoiser.parameters():
        if parameter.requires_grad:
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=random)
    return model


def pictures(count: int = 2, height: int = 32, width: int = 16, seed: int = 0) -> Tensor:
    """Noise, uint8 [count, height, width, 3]."""
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, height, width, 3), generator=random, dtype=torch.uint8)


def inputs_for(model: DiffusionModel, texts: list[str] = TEXTS) -> EditInputs:
    """Two edits with all that a model is conditioned on."""
    changes = {}
    if "mask" in model.conditions:
        changes["mask"] = model.shown(pictures(seed=1))
    if "reward" in model.conditions:
        changes = {
            **changes,
            "scores": torch.tensor([[5.0, 4.0, 3.0], [0.0, 1.0, 2.0]]),
            "keep": torch.ones(2, 3),
            "reward_text": model.texts.ids(["None; None; None", "too dark; None; None"]),
        }
    return EditInputs(model.shown(pictures()), model.texts.ids(texts)).with_(changes)


@torch.no_grad()
def answer(model: DiffusionModel, inputs: EditInputs | None = None) -> Tensor:
    """What a model predicts for two edits of noise."""
    inputs = inputs or inputs_for(model)
    noisy = torch.randn(inputs.source.shape, generator=torch.Generator().manual_seed(9))
    found: Tensor = model.denoiser(noisy, torch.tensor([300.0, 800.0]), model.given(inputs))
    return found
