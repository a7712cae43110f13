"""File names of edited pictures, as MagicBrush's evaluator expects them, for any ids."""

from __future__ import annotations

import re
from pathlib import Path

from editloop.storage.records import fingerprint

__all__ = ["output_path", "safe_name"]


_LONGEST = 120  # bytes; file systems allow 255


def safe_name(text: str) -> str:
    """Return a file name for any text: slashes become `__`; other changes add a hash."""
    name = re.sub(r"[^\w.+=-]", "_", text.replace("/", "__"))
    name = name.encode("utf-8", "replace")[:_LONGEST].decode("utf-8", "ignore")
    if name.replace("__", "/") != text or name.startswith("."):
        return f"_{name}-{fingerprint(text)[:8]}"
    return name


def output_path(name: str, turn: int, setting: str, *, safe: bool = True) -> Path:
    """Return the relative path of a turn's picture: one folder per session, one file per turn.

    `NAME_1.png` is the first turn, `NAME_inde_2.png` a later one of the independent setting and
    `NAME_iter_2.png` of the iterative one. A single edit is the first turn of its own session.
    `safe=False` uses the name unchanged.
    """
    stem = safe_name(name) if safe else name
    middle = "" if turn == 1 else f"{setting[:4]}_"
    return Path(stem, f"{stem}_{middle}{turn}.png")
