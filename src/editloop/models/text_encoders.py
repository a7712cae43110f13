"""Loading of a pipeline's text encoders, with an error for missing tensors.

transformers fills a missing tensor with random numbers and only logs a warning; diffusers' own
networks already raise an error.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from editloop.errors import StoreError
from editloop.hub.pretrained import load_pretrained

__all__ = ["whole_text_encoders"]


def whole_text_encoders(folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    """Load the text encoders of a pipeline's folder, by part.

    Raises StoreError if a file lacks some of a network's tensors.
    """
    index = json.loads((folder / "model_index.json").read_bytes())
    return {
        name: _whole(getattr(transformers, index[name][1]), folder, name, dtype)
        for name in index
        if name.startswith("text_encoder") and index[name][0] == "transformers"
    }


def _whole(made: Any, folder: Path, name: str, dtype: torch.dtype) -> Any:
    network, found = load_pretrained(
        made, folder, subfolder=name, dtype=dtype, use_safetensors=True, output_loading_info=True
    )
    if found["missing_keys"] or found["mismatched_keys"]:
        raise StoreError(
            "a checkpoint's file lacks some of its network's tensors",
            value=f"{folder / name}: {sorted(found['missing_keys'])[:3]}",
            fix="download the checkpoint again",
        )
    return network
