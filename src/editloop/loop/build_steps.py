"""The steps of a recipe's data: its sources, its build steps and its judges, for the kernel."""

from __future__ import annotations

from editloop.kernel.tasks import StepSpec
from editloop.loop.entries import Entry
from editloop.loop.recipe import Recipe
from editloop.loop.retries import unrolled
from editloop.registry import settings_of
from editloop.schema import Json

__all__ = ["build_specs"]


def build_specs(recipe: Recipe) -> tuple[list[StepSpec], list[StepSpec]]:
    """Return the specs of a recipe's sources and steps; a source's seed defaults to the recipe's.

    A `retry` of `build` becomes the steps of all its tries. An entry of `judge` becomes a judge
    step; settings that the step does not have are the judge's.
    """
    sources = [
        StepSpec("source", part.name, part.kind, _seeded(part, recipe.seed))
        for part in recipe.sources
    ]
    steps = [spec for part in recipe.build for spec in unrolled(part)]
    return sources, [*steps, *map(_judging, recipe.judge)]


def _judging(part: Entry) -> StepSpec:
    of_step = settings_of("build", "judge").model_fields
    judge = {key: value for key, value in part.own.items() if key not in of_step}
    own = {key: value for key, value in part.own.items() if key in of_step}
    return StepSpec("build", part.name, "judge", {**own, "judge": {"kind": part.kind, **judge}})


def _seeded(part: Entry, seed: int) -> dict[str, Json]:
    takes_seed = "seed" in settings_of("source", part.kind).model_fields
    return {"seed": seed, **part.own} if takes_seed else part.own
