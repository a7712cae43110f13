"""A pipeline's networks built from their configurations, without the values of weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch import nn

from editloop.hub.pretrained import load_pretrained
from editloop.schema import Json

__all__ = ["outlined_networks"]

_LIBRARIES: Mapping[str | None, Any] = {"diffusers": diffusers, "transformers": transformers}


def outlined_networks(
    folder: Path, index: Mapping[str, Json], dtype: torch.dtype
) -> dict[str, Any]:
    """Return the networks in a pipeline's `index`, by part, in `dtype` on torch's meta device.

    Only configurations are read. Raises OSError if one cannot be read.
    """
    parts = {name: value for name, value in index.items() if isinstance(value, list)}
    found = {}
    for name, (library, kind) in parts.items():
        made = getattr(_LIBRARIES.get(library), str(kind), None)
        if isinstance(made, type) and issubclass(made, nn.Module):
            found[name] = _outlined(made, folder / name).to(dtype)
    return found


def _outlined(made: Any, folder: Path) -> nn.Module:
    with torch.device("meta"):
        if hasattr(made, "config_class"):  # of transformers
            network: nn.Module = made(load_pretrained(made.config_class, folder))
        else:
            network = made.from_config(made.load_config(folder, local_files_only=True))
    return network
