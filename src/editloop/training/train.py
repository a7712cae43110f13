"""Train editors on an existing data set; called by `editloop train`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from editloop.errors import RecipeError, UnavailableError
from editloop.hub import weights
from editloop.kernel.progress import Progress
from editloop.loop import run as loop
from editloop.loop.entries import Entry
from editloop.loop.recipe import Recipe, read_recipe
from editloop.runtime.launcher import led
from editloop.schema import Json
from editloop.settings import validate

__all__ = ["check", "train", "training_recipe"]

_KIND = "diffusion"


@led
def train(
    recipe: Recipe | Path | str | None = None,
    out: Path | str | None = None,
    *,
    download: bool = False,
    workers: int | None = None,
    new_version: bool = False,
    progress: Callable[[Progress], None] | None = None,
    **settings: Json,
) -> dict[str, Json]:
    """Run the `train` parts of a recipe, or train one model by `settings`; return the results.

    `settings` are those of the train part `diffusion`, such as `data` (a run's folder), `base` and
    `conditions`; with a recipe they replace its own settings, and mappings are merged key by key.
    `out` is a run folder like that of `run`, with the models in `models/`; after an interruption,
    the same call continues. Processes started by a launcher (`accelerate launch`) train together,
    and each returns the results. `download` gets the base from the hub.
    """
    made = training_recipe(recipe, **settings)
    if download:
        for base in _bases(made):
            weights.download(base)
    return loop.run(
        made,
        out or Path("runs") / made.name,
        only=_wanted(made),
        workers=workers,
        new_version=new_version,
        progress=progress,
    )


def check(
    recipe: Recipe, out: Path | str, *, download: bool = False, new_version: bool = False
) -> None:
    """Raise the errors of `train` that can be found cheaply before the first step.

    Weights are not loaded. With `download`, a base that is not downloaded yet is not checked.
    """
    try:
        loop.check(recipe, out, only=_wanted(recipe), new_version=new_version)
    except UnavailableError:
        if not download or not any(weights.stamp(base) is None for base in _bases(recipe)):
            raise


def _wanted(recipe: Recipe) -> tuple[str, ...]:
    """Return the stages of the loop that a training runs."""
    return (*(("sources", "build", "judge") if recipe.sources else ()), "train", "report")


def _bases(recipe: Recipe) -> list[str]:
    return [
        str(part.own["base"])
        for part in recipe.train
        if part.kind == _KIND and part.own.get("base")
    ]


def training_recipe(recipe: Recipe | Path | str | None = None, **settings: Json) -> Recipe:
    """Return a given recipe with some settings replaced, or one made from the settings alone."""
    if recipe is None:
        return _of_settings(settings)
    read = recipe if isinstance(recipe, Recipe) else read_recipe(recipe)
    if not read.train:
        raise RecipeError(
            "this recipe has no train part", value=read.name, fix="add a `train` part"
        )
    parts = [
        validate(Entry, _merged(part.model_dump(), settings), where=f"train.{part.name}")
        if part.kind == _KIND
        else part
        for part in read.train
    ]
    return read.model_copy(update={"train": tuple(_checked(parts))})


def _merged(own: Json, settings: Json) -> Json:
    """Merge settings over a part's own; a mapping keeps the keys that `settings` doesn't have."""
    if not isinstance(own, Mapping) or not isinstance(settings, Mapping):
        return settings
    return {**own, **{name: _merged(own.get(name), each) for name, each in settings.items()}}


def _of_settings(settings: dict[str, Json]) -> Recipe:
    absent = [name for name in ("data", "base") if not settings.get(name)]
    if absent:
        raise RecipeError(
            f"missing setting: what to train {'on' if absent[0] == 'data' else 'from'}",
            value=f"no recipe and no {absent[0]}",
            fix="pass a recipe, or both --data DIR and --base MODEL",
        )
    entry = {"kind": _KIND, "name": "editor", **settings}
    part = validate(Entry, entry, where="train")
    return Recipe(name="train", train=tuple(_checked([part])))


def _checked(parts: Sequence[Entry]) -> Sequence[Entry]:
    """Return the parts with the absolute paths of their data's folders."""
    return [
        Entry.model_validate({**part.model_dump(), "data": _absolute(part.own["data"])})
        if part.own.get("data")
        else part
        for part in parts
    ]


def _absolute(data: Json) -> Json:
    """Return the absolute path of a folder, or of each in a list."""
    if isinstance(data, list | tuple):
        return [_absolute(each) for each in data]
    return str(Path(data).expanduser().absolute())
