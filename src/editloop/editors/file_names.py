"""File names of edited pictures, as MagicBrush's evaluator knows them, for ids of any kind."""

from __future__ import annotations

import re
from pathlib import Path

from editloop.storage.records import fingerprint

__all__ = ["output_path", "safe_name"]


_LONGEST = 120  # bytes, of the 255 that file systems take


def safe_name(text: str) -> str:
    """A file name for any text: slashes become `__`, and what else is odd gives it a hash."""
    name = re.sub(r"[^\w.+=-]", "_", text.replace("/", "__"))
    name = name.encode("utf-8", "replace")[:_LONGEST].decode("utf-8", "ignore")
    if name.replace("__", "/") != text or name.startswith("."):
        return f"_{name}-{fingerprint(text)[:8]}"
    return name


def output_path(name: str, turn: int, setting: str, *, safe: bool = True) -> Path:
    """Where the picture of a session's turn belongs: a folder a session, a file a turn.

    `NAME_1.png` is the first turn, `NAME_inde_2.png` a later one of the independent setting and
    `NAME_iter_2.png` of the iterative one. A lone edit is the first turn of its own session.
    `safe=False` takes the name as it is.
    """
    stem = safe_name(name) if safe else name
    middle = "" if turn == 1 else f"{setting[:4]}_"
    return Path(stem, f"{stem}_{middle}{turn}.png")
