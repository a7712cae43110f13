"""Print the models that a run has trained: their folders, checkpoints and disk space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from editloop.schema import Json
from editloop.showing.terminal import say
from editloop.storage.versions import part_folder
from editloop.training.trained import checkpoint_name, course

__all__ = ["print_models"]


def print_models(run: Path, results: Mapping[str, Json]) -> None:
    """Print each model of a run, its kept checkpoints, the best of them, and what they take."""
    for name, facts in results.get("train", {}).items():
        model = run / "models" / name
        say(f"model: {model}")
        for line in course(facts):
            say(f"  {line}")
        own = _sizes(model.rglob("*"))
        if "checkpoints" in facts:
            steps = ", ".join(f"{step:,}" for step in facts["checkpoints"])
            say(f"  checkpoints of steps {steps}, each an editor, {_amount(own)} with the model")
        if "best_checkpoint" in facts:
            best = model / checkpoint_name(facts["best_checkpoint"])
            say(f"  best by validation ({facts['best_validation_loss']:.4g}): {best}")
        kept = list(part_folder(run, f"train.{name}").glob("*/checkpoints"))
        if state := _sizes(path for folder in kept for path in folder.iterdir()):
            say(f"  to train longer, raise its steps and run again; for it {_amount(state)} are "
                f"kept in {kept[0]}")  # fmt: skip


def _sizes(paths: Iterable[Path]) -> dict[tuple[int, int], int]:
    """Return the bytes of files by what they are on disk: links to one file count once."""
    found = (path.stat() for path in paths if path.is_file())
    return {(each.st_dev, each.st_ino): each.st_size for each in found}


def _amount(sizes: Mapping[tuple[int, int], int]) -> str:
    total = sum(sizes.values())
    return f"{total / 1e9:.1f} GB" if total >= 1e8 else f"{total / 1e6:.1f} MB"
