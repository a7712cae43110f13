"""Write the report of a run: one self-contained HTML page in which all texts are escaped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field

from editloop.evaluation.report.gallery import cards
from editloop.evaluation.report.protocol_pages import protocol_parts
from editloop.evaluation.report.protocol_views import ProtocolPart
from editloop.evaluation.report.rundata import loss_curves, read_cases
from editloop.evaluation.report.survival import survival
from editloop.evaluation.report.views import (
    BenchmarkView,
    Spent,
    benchmarks,
    duration,
    looks,
    losses,
    rewards,
    spent,
)
from editloop.loop.recipe import Recipe
from editloop.schema import Json
from editloop.settings import Settings
from editloop.showing.pages import write_page
from editloop.showing.survey import Survey, splits, survey
from editloop.showing.triplets import triplets
from editloop.storage.files import explained

__all__ = ["HtmlReport"]

_PAGE = "report.html"


class HtmlReport:
    """A self-contained page of a run's data, results and timings."""

    class Settings(Settings):
        """The page shows `samples` triplets of the data and `gallery` cases of each benchmark."""

        title: str = ""
        samples: Annotated[int, Field(ge=0)] = 12
        gallery: Annotated[int, Field(ge=0)] = 16

    def __init__(self, settings: HtmlReport.Settings) -> None:
        self._settings = settings

    def write(self, run: Path, results: Json, timings: Json) -> Path:
        """Write `run/report.html` from a run folder, its results and its timings."""
        write_page(run / _PAGE, _PAGE, **self._view(run, results, timings))
        return run / _PAGE

    def _view(self, run: Path, results: Json, timings: Json) -> dict[str, Json]:
        recipe = _recipe(run)
        names = splits(run)
        surveyed = survey(run / "data", names[0], self._settings.samples) if names else Survey()
        times = spent(timings)
        own = self._benchmarks(run, results)
        protocols = protocol_parts(run, results, recipe.get("evaluate", ()), self._settings.gallery)
        models = losses(loss_curves(run))
        return {
            "kind": "report",
            "title": self._settings.title or _title(results, recipe, protocols) or run.name,
            "tiles": _tiles(results, own, protocols, models, times),
            "build": results.get("build", {}),
            "survival": survival(results.get("build", {}), recipe),
            "recipe": yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True) if recipe else "",
            "benchmarks": own,
            "protocols": protocols,
            "split": names[0] if names else "",
            "survey": surveyed,
            "rewards": rewards(surveyed),
            "triplets": triplets(run / "data", names[0], surveyed.chosen) if names else [],
            "losses": models,
            "looks": looks(run),
            "times": times,
        }

    def _benchmarks(self, run: Path, results: Json) -> list[BenchmarkView]:
        views = benchmarks(results)
        rows = read_cases(run, {view.name for view in views})
        for view in views:
            # A session's card has many pictures, so a quarter of the cards is enough.
            count = self._settings.gallery // 4 if view.drift else self._settings.gallery
            own = [row for row in rows if row.benchmark == view.name]
            view.cards = cards(run, own, view.editors, count)
        return views


def _title(results: Json, recipe: Json, parts: Sequence[ProtocolPart]) -> str:
    """Return the recipe's name, or the protocol's title if the recipe only evaluates that."""
    name: str = results.get("recipe", "")
    alone = len(parts) == 1 and [part["name"] for part in recipe.get("evaluate", ())] == [name]
    return parts[0].card.title if alone else name


def _tiles(
    results: Json,
    own: Sequence[BenchmarkView],
    parts: Sequence[ProtocolPart],
    models: Sequence[object],
    times: Sequence[Spent],
) -> dict[str, str]:
    """Return the main numbers at the top of the page; empty ones are left out."""
    editors = {name for part in parts for view in part.benchmarks for name in view.owners}
    found: dict[str, Json] = {
        "edits built": results.get("build", {}).get("out"),
        "models trained": len(models),
        "held-out cases": sum(view.facts["cases"] for view in own),
        "protocol": ", ".join(f"{part.card.name} {part.card.version}" for part in parts),
        "test": ", ".join(part.card.amount for part in parts),
        "editors": len(editors),
        "time": duration(sum(row.seconds or 0 for row in times if row.level == 0)) if times else "",
    }
    if "seed" in results:
        found["seed"] = str(results["seed"])
    return {
        name: f"{value:,}" if isinstance(value, int) else value
        for name, value in found.items()
        if value
    }


def _recipe(run: Path) -> dict[str, Json]:
    """Return the run's recipe in its usual order, without empty entries."""
    path = run / "recipe.json"
    with explained("read the run's recipe", path):
        found = json.loads(path.read_bytes()) if path.exists() else {}
    return {key: found[key] for key in Recipe.model_fields if found.get(key) not in (None, [], {})}
