"""LoRA by peft: small adapters trained on a frozen base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers.utils import convert_unet_state_dict_to_peft
from peft import LoraConfig
from peft.utils import set_peft_model_state_dict
from torch import Tensor, nn

from editloop.errors import StoreError
from editloop.models.backbones.model import Lora

__all__ = ["JOINT_LAYERS", "add_lora", "load_lora"]

_LAYERS = ("to_q", "to_k", "to_v", "to_out.0")
# Joint attention of a picture's and a text's tokens has the same layers for the text.
JOINT_LAYERS = (*_LAYERS, "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")


def add_lora(
    network: Any,
    lora: Lora,
    grown: Sequence[nn.Module] = (),
    *,
    layers: Sequence[str] = _LAYERS,
    seed: int = 0,
) -> None:
    """Freeze a diffusers network and add adapters to its attention layers, kept in fp32.

    `grown` are widened layers: they are trained in full, in fp32.
    """
    network.requires_grad_(False)
    with torch.random.fork_rng(devices=()):  # initialised from torch's global random state
        torch.manual_seed(seed)
        network.add_adapter(
            LoraConfig(
                r=lora.rank,
                lora_alpha=lora.alpha,
                init_lora_weights="gaussian",
                target_modules=list(layers),
            )
        )
    for layer in grown:
        layer.requires_grad_(True)
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def load_lora(network: Any, tensors: Mapping[str, Tensor], part: str) -> None:
    """Load saved adapters into those that `add_lora` made; `part` is the network's name.

    Raises StoreError if they belong to another network.
    """
    own = {name.removeprefix(f"{part}."): each for name, each in tensors.items()}
    found: Any = set_peft_model_state_dict(network, convert_unet_state_dict_to_peft(own))
    if found.unexpected_keys:
        raise StoreError(
            "adapters of another network", value=found.unexpected_keys[:3], fix="train them again"
        )
