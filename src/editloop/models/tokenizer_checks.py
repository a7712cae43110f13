"""A check for complete tokenizers: transformers makes an empty one if files are missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from editloop.errors import StoreError

__all__ = ["check_tokenizers"]

_MOST = 1_000_000  # tokens of a text; a tokenizer without configuration has a far higher limit


def check_tokenizers(pipeline: Any, folder: Path) -> None:
    """Raise StoreError if a tokenizer lacks its vocabulary, or CLIP's the length of a text.

    A vocabulary may be smaller than the text encoder's embedding table, like T5's, but must have at
    least half its size.
    """
    for name, part in pipeline.components.items():
        if not name.startswith("tokenizer") or part is None:
            continue
        encoder = getattr(pipeline, name.replace("tokenizer", "text_encoder"), None)
        room = getattr(getattr(encoder, "config", None), "vocab_size", 0)
        endless = "CLIP" in type(part).__name__ and part.model_max_length > _MOST
        if endless or 2 * len(part) < room:
            raise StoreError(
                "a tokenizer's files are incomplete",
                value=f"{folder / name}: {len(part)} tokens of {room}",
                fix="download the checkpoint again",
            )
