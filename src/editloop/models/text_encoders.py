"""A pipeline's text encoders, loaded whole or not at all.

transformers fills a tensor that a file lacks with random numbers and only writes a warning;
diffusers' own networks don't load then.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from editloop.errors import StoreError

__all__ = ["whole_text_encoders"]


def whole_text_encoders(folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    """The text encoders that a pipeline's folder names, by part.

    Raises StoreError where a file lacks some of a network's tensors.
    """
    index = json.loads((folder / "model_index.json").read_bytes())
    return {
        name: _whole(getattr(transformers, index[name][1]), folder, name, dtype)
        for name in index
        if name.startswith("text_encoder") and index[name][0] == "transformers"
    }


def _whole(made: Any, folder: Path, name: str, dtype: torch.dtype) -> Any:
    network, found = made.from_pretrained(
        folder,
        subfolder=name,
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
    )
    if found["missing_keys"] or found["mismatched_keys"]:
        raise StoreError(
            "a checkpoint's file lacks some of its network's tensors",
            value=f"{folder / name}: {sorted(found['missing_keys'])[:3]}",
            fix="get the checkpoint again",
        )
    return network
