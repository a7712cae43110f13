"""The models that a run has trained, found from the run's folder."""

from __future__ import annotations

from pathlib import Path

from editloop.errors import RecipeError
from editloop.models.pipeline_loading import INDEX as PIPELINE
from editloop.models.saving import INDEX

__all__ = ["model_in"]


def model_in(folder: Path) -> Path | None:
    """The only model in a run's folder; None where the folder holds no run with models.

    Raises RecipeError, with their names, where there are several.
    """
    if (folder / INDEX).is_file() or (folder / PIPELINE).is_file():
        return None  # a model itself
    found = sorted(index.parent for index in folder.glob(f"models/*/{INDEX}"))
    if len(found) > 1:
        raise RecipeError(
            "a run's folder with several trained models",
            value=folder,
            fix=f"name one: {', '.join(map(str, found))}",
        )
    return found[0] if found else None
