"""Whether a pipeline's tokenizers are whole: transformers makes an empty one where files lack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from editloop.errors import StoreError

__all__ = ["check_tokenizers"]

_MOST = 1_000_000  # tokens of a text; a tokenizer that was told nothing says far more


def check_tokenizers(pipeline: Any, folder: Path) -> None:
    """Raise StoreError where a tokenizer lacks its words, or CLIP's the length of a text.

    A tokenizer may know fewer words than its text encoder has room for, as T5's does, but not half.
    """
    for name, part in pipeline.components.items():
        if not name.startswith("tokenizer") or part is None:
            continue
        encoder = getattr(pipeline, name.replace("tokenizer", "text_encoder"), None)
        room = getattr(getattr(encoder, "config", None), "vocab_size", 0)
        endless = "CLIP" in type(part).__name__ and part.model_max_length > _MOST
        if endless or 2 * len(part) < room:
            raise StoreError(
                "a tokenizer's files are not whole",
                value=f"{folder / name}: {len(part)} tokens of {room}",
                fix="get the checkpoint again",
            )
