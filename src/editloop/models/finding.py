"""Finding the models that a run has trained."""

from __future__ import annotations

from pathlib import Path

from editloop.errors import RecipeError
from editloop.models.pipeline_loading import INDEX as PIPELINE
from editloop.models.saving import INDEX

__all__ = ["model_in"]


def model_in(folder: Path) -> Path | None:
    """Return the only model in a run's folder, or None if it is no run with models.

    Raises RecipeError, with the models' paths, if there are several.
    """
    if (folder / INDEX).is_file() or (folder / PIPELINE).is_file():
        return None  # the folder is itself a model
    found = sorted(index.parent for index in folder.glob(f"models/*/{INDEX}"))
    if len(found) > 1:
        raise RecipeError(
            "the run's folder has several trained models",
            value=folder,
            fix=f"choose one: {', '.join(map(str, found))}",
        )
    return found[0] if found else None
