"""Freezing of networks that are not trained."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

__all__ = ["frozen"]

_Network = TypeVar("_Network", bound=nn.Module)


def frozen(network: _Network, dtype: torch.dtype) -> _Network:
    """Disable the network's gradients, convert it to `dtype` in place, and return it.

    In float16, layers that transformers keeps in float32 stay in float32: T5's would overflow.
    """
    network.requires_grad_(False).to(dtype)
    kept = getattr(network, "_keep_in_fp32_modules", None) or ()
    if dtype == torch.float16 and kept:
        for name, layer in network.named_modules():
            if name.rpartition(".")[2] in kept:
                layer.float()
    return network
