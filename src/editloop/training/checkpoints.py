"""Checkpoints of a training loop: written atomically; the newest few and the best are kept.

step-00000500.pt            the whole state, to resume from: of the newest two
step-00000500.weights.pt    the weights of an editor alone, of the older ones that are kept
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from rich.console import Console

from editloop.errors import TrainingError
from editloop.storage.files import Files, NewFile, explained, sweep_temporaries, temporary
from editloop.training.finite import whole_is_finite

__all__ = ["kept_steps", "load_newest", "load_weights", "save", "trim"]

_NAME = re.compile(r"step-(\d{8})(\.weights)?\.pt")
_RESUMABLE = 2  # should the newest be damaged, the one before it is there


def save(
    folder: Path,
    step: int,
    state: dict[str, Any],
    *,
    keep: int,
    best: Callable[[Sequence[int]], int | None] = lambda _: None,
) -> None:
    """Write a checkpoint durably and atomically, then delete those that are not kept.

    Kept are the newest `keep` up to it, and the one of them all that `best` chooses by its step.
    """
    files = Files()
    with explained("write a checkpoint", folder):
        files.make_folder(folder)
        sweep_temporaries(files, folder)
        _write(files, _state(folder, step), state)
        _remove(files, _weights(folder, step))  # of an earlier attempt at this step
        there = kept_steps(folder)
        made = [each for each in there if each <= step]  # `load_newest` passed over newer ones
        kept = {*made[-keep:], best(made)}
        for other in there:
            if other not in kept:
                _remove(files, _state(folder, other), _weights(folder, other))
    _strip(folder, _RESUMABLE)


def trim(folder: Path) -> None:
    """Reduce the checkpoints of a finished training: only the last one can be resumed from."""
    _strip(folder, 1)


def kept_steps(folder: Path) -> list[int]:
    """Return the steps of all checkpoints in a folder, in order."""
    return sorted({step for step, _ in _found(folder)})


def load_weights(folder: Path, step: int) -> dict[str, Any]:
    """Return a checkpoint's state with at least its average, or without one its network."""
    path = _weights(folder, step)
    return _load(path if path.exists() else _state(folder, step), mapped=True)


def load_newest(folder: Path) -> dict[str, Any] | None:
    """Return the state of the newest checkpoint, on the CPU; None if there is none.

    A checkpoint with NaN or infinite values, which older versions saved, is passed over. Raises
    TrainingError if the file cannot be read, or if no checkpoint is left.
    """
    steps = _resumable(folder)
    for step in reversed(steps):
        state = _load(_state(folder, step))
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


def _strip(folder: Path, resumable: int) -> None:
    """Replace the state of all checkpoints but the newest by the weights of their editors."""
    files = Files()
    with explained("reduce a checkpoint", folder):
        for step in _resumable(folder)[:-resumable]:
            state = _load(_state(folder, step), mapped=True)
            name = "average" if "average" in state else "network"
            _write(files, _weights(folder, step), {name: state[name]})
            files.remove(_state(folder, step))


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


def _load(path: Path, *, mapped: bool = False) -> dict[str, Any]:
    """Read a checkpoint; if `mapped`, its tensors stay in the file until they are used."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (OSError, EOFError, RuntimeError, ValueError, UnpicklingError) as error:
        raise TrainingError(
            "cannot read a checkpoint",
            value=path,
            fix=f"remove it to continue from the previous checkpoint ({error})",
        ) from error
    return state


def _remove(files: Files, *paths: Path) -> None:
    for path in paths:
        if path.exists():
            files.remove(path)


def _state(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.pt"


def _weights(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.weights.pt"


def _resumable(folder: Path) -> list[int]:
    return sorted(step for step, resumable in _found(folder) if resumable)


def _found(folder: Path) -> list[tuple[int, bool]]:
    """Return the step of each file, and whether a training can be resumed from it."""
    with explained("look for checkpoints", folder):
        found = [_NAME.fullmatch(name) for name in Files().names(folder)]
    return [(int(match[1]), match[2] is None) for match in found if match]
