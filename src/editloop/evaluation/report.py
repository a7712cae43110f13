"""The report of a run: one HTML page that loads nothing and escapes everything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import jinja2
import yaml
from pydantic import Field

from editloop.evaluation.gallery import cards, triplets
from editloop.evaluation.rundata import Survey, loss_curves, read_cases, splits, survey
from editloop.evaluation.views import (
    BenchmarkView,
    benchmarks,
    duration,
    losses,
    rewards,
    spent,
)
from editloop.files import Files, explained, replace_file
from editloop.recipe import Recipe, Settings
from editloop.schema import Json

__all__ = ["HtmlReport"]

_PAGE = "report.html"


class HtmlReport:
    """A self-contained page of what a run made, found and took."""

    class Settings(Settings):
        """`samples` triplets of the data and `gallery` cases of each benchmark are shown."""

        title: str = ""
        samples: Annotated[int, Field(ge=0)] = 12
        gallery: Annotated[int, Field(ge=0)] = 16

    def __init__(self, settings: HtmlReport.Settings) -> None:
        self._settings = settings

    def write(self, run: Path, results: Json, timings: Json) -> Path:
        """Write `run/report.html` from a run folder, its results and its timings."""
        page = _template().render(self._view(run, results, timings))
        path = run / _PAGE
        with explained("write the report", path):
            replace_file(Files(), path, page.encode("utf-8"))
        return path

    def _view(self, run: Path, results: Json, timings: Json) -> dict[str, Json]:
        recipe = _recipe(run)
        names = splits(run)
        surveyed = survey(run / "data", names[0], self._settings.samples) if names else Survey()
        times = spent(timings)
        return {
            "title": self._settings.title or results.get("recipe") or run.name,
            "results": results,
            "build": results.get("build", {}),
            "recipe": yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True) if recipe else "",
            "benchmarks": self._benchmarks(run, results),
            "split": names[0] if names else "",
            "survey": surveyed,
            "rewards": rewards(surveyed),
            "triplets": triplets(run / "data", names[0], surveyed.chosen) if names else [],
            "losses": losses(loss_curves(run)),
            "times": times,
            "total": sum(row.seconds or 0 for row in times if row.level == 0),
        }

    def _benchmarks(self, run: Path, results: Json) -> list[BenchmarkView]:
        views = benchmarks(results)
        rows = read_cases(run)
        for view in views:
            # A session is a card of many pictures: a fourth as many say as much.
            count = self._settings.gallery // 4 if view.drift else self._settings.gallery
            if "protocol" in view.facts:
                continue
            own = [row for row in rows if row.benchmark == view.name]
            view.cards = cards(run, own, view.editors, count)
        return views


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("editloop.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    return environment.get_template(_PAGE)


def _recipe(run: Path) -> dict[str, Json]:
    """The recipe of the run in its usual order, without what it leaves empty."""
    path = run / "recipe.json"
    with explained("read the run's recipe", path):
        found = json.loads(path.read_bytes()) if path.exists() else {}
    return {key: found[key] for key in Recipe.model_fields if found.get(key) not in (None, [], {})}
