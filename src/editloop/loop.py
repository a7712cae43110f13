"""The whole loop of one recipe: build, train, evaluate, report.

Each part is made once. What a part is made from (its settings, its version and everything upstream)
is its fingerprint; a part whose fingerprint is unchanged is not made again, and one whose
fingerprint changed is refused until a new version is asked for.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from editloop import pipeline, store
from editloop.errors import RecipeError, StoreError
from editloop.parts import Part, PartContext
from editloop.recipe import PartSettings, Recipe, read_recipe, validate
from editloop.registry import create
from editloop.schema import Json

__all__ = ["PARTS", "plan", "report", "results", "retry", "run"]

PARTS = ("build", "train", "evaluate", "report")
_PUBLISHED = {"train": "models", "evaluate": "evaluation"}


def run(
    recipe: Recipe | Path | str,
    out: Path | str,
    *,
    only: Sequence[str] = (),
    workers: int | None = None,
    new_version: bool = False,
) -> dict[str, Json]:
    """Make the loop of a recipe in the folder `out`, or go on with it; returns its results.

    `only` limits the work to some of PARTS; what they need must be there. `workers` never changes
    a result. Raises ChangedError when the folder holds another version and `new_version` is False.
    """
    settings = recipe if isinstance(recipe, Recipe) else read_recipe(Path(recipe))
    wanted = _wanted(settings, only)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    with store.lock(folder):
        _Loop(settings, folder, workers or _cores(), new_version).run(wanted)
    return results(folder)


def results(out: Path | str) -> dict[str, Json]:
    """What a run has found so far: its `results.json`."""
    return _read_json(Path(out) / "results.json")


def report(out: Path | str) -> Path:
    """Write a run's report page again, from its results; returns the page's path."""
    folder = Path(out)
    settings = _recipe_of(folder)
    page = create("report", "html", settings.report)
    written: Path = page.write(folder, results(folder), _read_json(folder / "timings.json"))
    return written


def retry(out: Path | str, failure: str = "transient") -> tuple[int, int]:
    """Try the quarantined inputs of one failure class again; returns how many, and how many pass."""
    folder = Path(out)
    settings = _recipe_of(folder)
    with store.lock(folder):
        tried, passed = pipeline.retry(folder, failure)
        if passed:
            _Loop(settings, folder, 1, new_version=False).write_results()
    return tried, passed


def plan(recipe: Recipe, out: Path | str) -> list[tuple[str, str, str]]:
    """Check a recipe whole, and say of each part: name, state, and what it is made of."""
    return _Loop(recipe, Path(out), 1, new_version=False).plan()


def _wanted(recipe: Recipe, only: Sequence[str]) -> tuple[str, ...]:
    unknown = sorted(set(only) - set(PARTS))
    if unknown:
        raise RecipeError("no such part", value=unknown[0], fix=f"known: {', '.join(PARTS)}")
    return tuple(part for part in PARTS if not only or part in only)


class _Loop:
    """One recipe in one run folder; the caller holds the folder's lock."""

    def __init__(self, recipe: Recipe, out: Path, workers: int, new_version: bool) -> None:
        self.recipe = recipe
        self.out = out
        self.workers = workers
        self.new_version = new_version
        self.parts: list[tuple[str, str, Part]] = [
            (group, part.name, create(group, part.kind, part.own, where=f"{group}.{part.name}"))
            for group in _PUBLISHED
            for part in getattr(recipe, group)
        ]

    def run(self, wanted: Sequence[str]) -> None:
        """Make the wanted parts in the loop's order; results are written after each."""
        store.sweep_staging(self.out)
        self._write("recipe.json", self.recipe.model_dump(mode="json"))
        if "build" in wanted and self.recipe.sources:
            self._build()
        for group, name, part in self.parts:
            if group in wanted:
                self._make(group, name, part)
        if "report" in wanted:
            report(self.out)

    def _build(self) -> None:
        started = time.perf_counter()
        built = pipeline.build(
            [_reference("source", part, self.recipe.seed) for part in self.recipe.sources],
            [
                _reference(group, part)
                for group in ("build", "judge")
                for part in getattr(self.recipe, group)
            ],
            out=self.out,
            seed=self.recipe.seed,
            workers=self.workers,
            new_version=self.new_version,
        )
        self._write_results()

    def _make(self, group: str, name: str, part: Part) -> None:
        """Make one training or benchmark, unless it is there already."""
        inputs = self._inputs(group)
        settings = {
            "version": part.version,
            "parameters": dict(part.parameters),
            "seed": self.recipe.seed,
            "inputs": inputs,
        }
        work = store.claim_version(
            self.out, f"{group}.{name}", settings, new_version=self.new_version
        )
        published = f"{_PUBLISHED[group]}/{name}"
        manifest = store.find_manifest(self.out, published)
        if manifest and manifest.fingerprint == work.name and manifest.in_place(self.out):
            return
        work.mkdir(parents=True, exist_ok=True)
        staged = store.staging_folder(self.out)
        staged.mkdir()
        context = PartContext(
            name=name,
            seed=self.recipe.seed,
            run=self.out,
            work=work,
            output=staged,
            inputs=store.fingerprint(inputs),
            workers=self.workers,
        )
        result = part.run(context)
        facts = {"results": dict(result.results), "timings": dict(result.timings)}
        store.publish_folder(self.out, published, staged, made_from=work.name, facts=facts)
        store.retire_versions(self.out, f"{group}.{name}", keep=[work.name])
        self._write_results()
