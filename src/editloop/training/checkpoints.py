"""Checkpoints of a training loop: written atomically, with only the newest few kept."""

from __future__ import annotations

import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from rich.console import Console

from editloop.errors import TrainingError
from editloop.storage.files import Files, NewFile, explained, sweep_temporaries, temporary
from editloop.training.finite import whole_is_finite

__all__ = ["load_newest", "save"]

_NAME = re.compile(r"step-(\d{8})\.pt")


def save(folder: Path, step: int, state: dict[str, Any], *, keep: int) -> None:
    """Write a checkpoint durably and atomically, then delete all but the newest `keep` up to it."""
    files = Files()
    with explained("write a checkpoint", folder):
        files.make_folder(folder)
        sweep_temporaries(files, folder)
        _write(files, _path(folder, step), state)
        steps = _steps(folder)
        kept = [each for each in steps if each <= step][-keep:]
        for other in steps:
            if other not in kept:  # newer ones were passed over by `load_newest`
                files.remove(_path(folder, other))


def _write(files: Files, path: Path, state: dict[str, Any]) -> None:
    """Stream the state to the file: a large model's state would not fit in memory twice."""
    new = NewFile(files, temporary(path))
    try:
        try:
            torch.save(state, new)  # type: ignore[arg-type]
        except RuntimeError as error:  # torch reports a failed write as this
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
        new.finish()
    finally:
        new.close()
    files.rename(new.path, path)
    files.sync_path(path.parent)


def load_newest(folder: Path) -> dict[str, Any] | None:
    """Return the state of the newest checkpoint, on the CPU; None if there is none.

    A checkpoint with NaN or infinite values, which older versions saved, is passed over. Raises
    TrainingError if the file cannot be read, or if no checkpoint is left.
    """
    steps = _steps(folder)
    for step in reversed(steps):
        state = _load(_path(folder, step))
        if whole_is_finite(state):
            return state
        console = Console(stderr=True, soft_wrap=True, highlight=False)
        console.print(f"the checkpoint of step {step} contains NaN or infinite values: not used")
    if not steps:
        return None
    raise TrainingError(
        "every checkpoint contains NaN or infinite values",
        value=folder,
        fix="remove this folder to start from the beginning, with a lower learning_rate",
    )


def _load(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, UnpicklingError) as error:
        raise TrainingError(
            "cannot read a checkpoint",
            value=path,
            fix=f"remove it to continue from the previous checkpoint ({error})",
        ) from error
    return state


def _path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.pt"


def _steps(folder: Path) -> list[int]:
    with explained("look for checkpoints", folder):
        found = [_NAME.fullmatch(name) for name in Files().names(folder)]
    return sorted(int(match[1]) for match in found if match)
