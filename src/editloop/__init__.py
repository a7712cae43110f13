"""EditLoop: the whole loop of instruction-based image editing.

    import editloop

    editloop.run("quickstart", "runs/quickstart")
    pictures = editloop.edit("photo.jpg", ["make it night"], editor="darkroom")

The public names are loaded on first use, so importing the package is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from editloop.editors.edit import edit
    from editloop.errors import EditLoopError
    from editloop.evaluation.evaluate import evaluate
    from editloop.judges.judge_data import judge
    from editloop.loop.recipe import Recipe, read_recipe
    from editloop.loop.run import run
    from editloop.schema import EditSample, EditType, Provenance, Score, Unscored
    from editloop.sources.import_data import import_data
    from editloop.storage.samples import read_samples
    from editloop.storage.verify import verify
    from editloop.training.train import train

__all__ = [
    "EditLoopError",
    "EditSample",
    "EditType",
    "Provenance",
    "Recipe",
    "Score",
    "Unscored",
    "edit",
    "evaluate",
    "import_data",
    "judge",
    "read_recipe",
    "read_samples",
    "run",
    "train",
    "verify",
]

_HOME = {
    "EditLoopError": "errors",
    "EditSample": "schema",
    "EditType": "schema",
    "Provenance": "schema",
    "Recipe": "loop.recipe",
    "Score": "schema",
    "Unscored": "schema",
    "edit": "editors.edit",
    "evaluate": "evaluation.evaluate",
    "import_data": "sources.import_data",
    "judge": "judges.judge_data",
    "read_recipe": "loop.recipe",
    "read_samples": "storage.samples",
    "run": "loop.run",
    "train": "training.train",
    "verify": "storage.verify",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'editloop' has no attribute {name!r}")
    return getattr(importlib.import_module(f"editloop.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
