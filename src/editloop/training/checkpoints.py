"""Checkpoints of a training loop: whole or absent, the newest few kept."""

from __future__ import annotations

import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from editloop.errors import TrainingError
from editloop.storage.files import Files, NewFile, explained, sweep_temporaries, temporary

__all__ = ["load_newest", "save"]

_NAME = re.compile(r"step-(\d{8})\.pt")


def save(folder: Path, step: int, state: dict[str, Any], *, keep: int) -> None:
    """Write the state at a step, durably and at once; older ones beyond `keep` go afterwards."""
    files = Files()
    with explained("write a checkpoint", folder):
        files.make_folder(folder)
        sweep_temporaries(files, folder)
        _write(files, folder / f"step-{step:08d}.pt", state)
        for old in _steps(folder)[:-keep]:
            files.remove(folder / f"step-{old:08d}.pt")


def _write(files: Files, path: Path, state: dict[str, Any]) -> None:
    """As it is made, since a large model's state would not fit in memory twice."""
    new = NewFile(files, temporary(path))
    try:
        try:
            torch.save(state, new)  # type: ignore[arg-type]
        except RuntimeError as error:  # torch's own complaint of a file that ended too early
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
        new.finish()
    finally:
        new.close()
    files.rename(new.path, path)
    files.sync_path(path.parent)


def load_newest(folder: Path) -> dict[str, Any] | None:
    """The state of the last step that was saved, on the CPU; None where none was."""
    steps = _steps(folder)
    if not steps:
        return None
    path = folder / f"step-{steps[-1]:08d}.pt"
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, UnpicklingError) as error:
        raise TrainingError(
            "cannot read a checkpoint",
            value=path,
            fix=f"remove it to go on from the one before ({error})",
        ) from error
    return state


def _steps(folder: Path) -> list[int]:
    with explained("look for checkpoints", folder):
        found = [_NAME.fullmatch(name) for name in Files().names(folder)]
    return sorted(int(match[1]) for match in found if match)
