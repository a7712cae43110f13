"""The precision of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch

from editloop.schema import Json

__all__ = ["resolved_precision"]


def resolved_precision(chosen: Literal["auto", "bf16", "fp32"]) -> Literal["bf16", "fp32"]:
    """Return the chosen precision; `auto` is bf16 if the device supports it, else fp32."""
    if chosen != "auto":
        return chosen
    return "bf16" if _has_bf16() else "fp32"


def _has_bf16() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    # older versions of torch lack this function
    known: Mapping[str, Json] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
