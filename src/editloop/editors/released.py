"""Load Reward-InsPix2Pix as its authors released it: an InstructPix2Pix with a reward condition.

Gu et al., "Multi-Reward as Condition for Instruction-Based Image Editing" (2025), the folder
`stage2_reward_instruct_pix2pix`. The reward condition's weights are in the UNet's file.
"""

from __future__ import annotations

from pathlib import Path

import diffusers
from diffusers import AutoencoderKL, StableDiffusionInstructPix2PixPipeline, UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from transformers import CLIPTokenizer

from editloop.hub.pretrained import load_pretrained
from editloop.models.backbones.base_request import Precision, Wanted
from editloop.models.backbones.model import DiffusionModel
from editloop.models.backbones.stable_diffusion import of_pipeline
from editloop.models.pipeline_loading import DTYPES, model_index
from editloop.models.released_reward import split_released
from editloop.models.reward import RewardSettings
from editloop.models.text_encoders import whole_text_encoders
from editloop.models.tokenizer_checks import check_tokenizers
from editloop.runtime.machine import device

__all__ = ["is_released", "load_released"]

_UNET = Path("unet") / "diffusion_pytorch_model.safetensors"
_MARK = "proj_deal."  # prefix of a layer that diffusers' UNets do not have


def is_released(folder: Path) -> bool:
    """Return whether a pipeline's UNet has the released reward condition; reads names only."""
    try:
        with safe_open(folder / _UNET, framework="pt") as file:
            return any(name.startswith(_MARK) for name in file.keys())  # noqa: SIM118
    except (OSError, SafetensorError):
        return False


def load_released(name: str, folder: Path, precision: Precision) -> DiffusionModel:
    """Load the model `name` in a folder; StoreError where its weights are not the expected ones."""
    dtype = DTYPES[precision]
    plain, reward = split_released(load_file(folder / _UNET))
    unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet"))
    unet.load_state_dict(plain)
    scheduler = getattr(diffusers, model_index(folder)["scheduler"][1])
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=load_pretrained(AutoencoderKL, folder, subfolder="vae", use_safetensors=True),
        tokenizer=load_pretrained(CLIPTokenizer, folder, subfolder="tokenizer"),
        unet=unet.to(dtype).eval(),
        scheduler=load_pretrained(scheduler, folder, subfolder="scheduler"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        **whole_text_encoders(folder, dtype),
    ).to(device())
    wanted = Wanted(
        conditions=("source", "reward"),
        reward=RewardSettings(variant="released"),
        precision=precision,
        trained=False,
    )
    check_tokenizers(pipeline, folder)
    model = of_pipeline(pipeline, name, folder, wanted)
    model.condition("reward").load_state_dict(reward)
    return model
