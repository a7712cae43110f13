"""The whole loop of one recipe: build, train, evaluate, report.

Each part runs once. Its fingerprint covers its settings, its version and everything upstream. A
part with an unchanged fingerprint is skipped; a changed one raises ChangedError unless a new
version is requested.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from editloop.errors import RecipeError, StoreError
from editloop.kernel import build
from editloop.kernel.chunks import ChunkRunner
from editloop.kernel.progress import Progress
from editloop.kernel.tasks import StepSpec
from editloop.loop.build_steps import build_specs
from editloop.loop.continuing import go_on, goes_on
from editloop.loop.parts import Checked, Extending, LoopPart, Noticing, PartContext
from editloop.loop.recipe import Recipe, read_recipe
from editloop.registry import create, recorded
from editloop.runtime.launcher import led
from editloop.runtime.machine import cores
from editloop.schema import Json, readable_json
from editloop.settings import validate
from editloop.storage.files import explained
from editloop.storage.locks import lock
from editloop.storage.manifests import (
    check_own,
    find_manifest,
    publish_folder,
    record_manifest,
    staging_folder,
    write_file,
)
from editloop.storage.records import fingerprint
from editloop.storage.versions import check_version, claim_version, has_released, retire_versions

__all__ = [
    "PARTS",
    "RESULTS",
    "check",
    "clean",
    "dry_run",
    "notices",
    "report",
    "results",
    "retry",
    "run",
]

PARTS = ("sources", "build", "judge", "train", "evaluate", "report")
_DATA = {"sources", "build", "judge"}  # these parts build one data set together
RESULTS = "results.json"
_TIMES = "timings.json"
_RECIPE = "recipe.json"
_CACHE = "cache"
_PUBLISHED = {"train": "models", "evaluate": "evaluation"}


@led
def run(
    recipe: Recipe | Path | str,
    out: Path | str,
    *,
    only: Sequence[str] = (),
    workers: int | None = None,
    engine: str = "processes",
    new_version: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Json]:
    """Run or resume the loop of a recipe in the folder `out`; returns its results.

    `recipe` is a Recipe, the name of a shipped one, or the path of a YAML file (see `read_recipe`).
    `only` limits the work to some of PARTS, whose inputs must exist. `workers`, and the SPEC of the
    `engine` that builds the data and measures edits, never change a result. Raises ChangedError if
    the folder holds another version and `new_version` is False.
    """
    settings = recipe if isinstance(recipe, Recipe) else read_recipe(recipe)
    wanted = _wanted(only)
    folder = Path(out)
    made = _Loop(settings, folder, workers, new_version, engine)
    made.check(wanted)
    with explained("make a run folder", folder):
        folder.mkdir(parents=True, exist_ok=True)
    with lock(folder):
        made.run(wanted, progress)
    return results(folder)


def results(out: Path | str) -> dict[str, Json]:
    """Return the results of a run so far, from its `results.json`."""
    folder = Path(out)
    _recipe_of(folder)
    return _read(folder / RESULTS)


def report(out: Path | str) -> Path:
    """Write a run's report page again from its results; returns the page's path."""
    folder = Path(out)
    with recorded():
        return _write_report(folder, _recipe_of(folder))


@led
def retry(
    out: Path | str, failure: str = "transient", *, recipe: Recipe | Path | str | None = None
) -> tuple[int, int]:
    """Retry the quarantined inputs of one failure class; returns the numbers tried and passed.

    Without `recipe`, the run's records say what to do: RecipeError if they name a class that is
    neither of this package nor of an installed plug-in. With it, the records only have to agree:
    ChangedError if they do not.
    """
    folder = Path(out)
    settings = _recipe_of(folder)
    if recipe is None:
        with recorded():
            return _retry(folder, failure, settings, None)
    own = recipe if isinstance(recipe, Recipe) else read_recipe(recipe)
    return _retry(folder, failure, own, build_specs(own))


def _retry(
    folder: Path,
    failure: str,
    recipe: Recipe,
    specs: tuple[Sequence[StepSpec], Sequence[StepSpec]] | None,
) -> tuple[int, int]:
    made = _Loop(recipe, folder, 1, new_version=False)
    with lock(folder):
        tried, passed = build.retry(folder, failure, specs=specs)
        if passed:
            made.write_results()
    return tried, passed


def clean(out: Path | str, *, recipe: Recipe | Path | str | None = None) -> int:
    """Remove what nothing needs of a complete run's working files; returns the bytes removed.

    The data, models and results stay, and the same recipe has nothing to do. A retry or a changed
    recipe builds again from the sources; replies of model servers and outputs of steps that use a
    GPU are kept. `recipe` as for `retry`.
    """
    folder = Path(out)
    _recipe_of(folder)
    if recipe is None:
        with recorded(), lock(folder):
            return build.clean(folder)
    own = recipe if isinstance(recipe, Recipe) else read_recipe(recipe)
    with lock(folder):
        return build.clean(folder, specs=build_specs(own))


def dry_run(recipe: Recipe, out: Path | str) -> list[tuple[str, str, str]]:
    """Check a whole recipe; returns the name, state and settings of each part."""
    return _Loop(recipe, Path(out), 1, new_version=False).dry_run()


def notices(recipe: Recipe, out: Path | str) -> list[str]:
    """Return what will be cut, lost or left out of data that exists, one line for each."""
    made = _Loop(recipe, Path(out), 1, new_version=False)
    run = made.out if made.data_is_known(()) else None
    return [
        f"{group}.{name}: {line}"
        for group, name, part in made.parts
        if isinstance(part, Noticing)
        for line in part.notices(run)
    ]


def check(
    recipe: Recipe,
    out: Path | str,
    *,
    only: Sequence[str] = (),
    engine: str = "processes",
    new_version: bool = False,
) -> None:
    """Raise the errors that `run` would raise before starting; changes nothing.

    These are missing or unusable data and weights, and changed settings of a training.
    """
    _Loop(recipe, Path(out), 1, new_version, engine).check(_wanted(only))


def _wanted(only: Sequence[str]) -> tuple[str, ...]:
    unknown = sorted(set(only) - set(PARTS))
    if unknown:
        raise RecipeError("unknown part", value=unknown[0], fix=f"known: {', '.join(PARTS)}")
    return tuple(part for part in PARTS if not only or part in only)


class _Loop:
    """One recipe in one run folder; the caller holds the folder's lock."""

    def __init__(
        self,
        recipe: Recipe,
        out: Path,
        workers: int | None,
        new_version: bool,
        engine: str = "processes",
    ) -> None:
        self.recipe = recipe
        self.out = out
        self.workers = workers or cores()
        self.options = build.Options(workers, engine)
        self.new_version = new_version
        self.parts: list[tuple[str, str, LoopPart]] = [
            (group, part.name, create(group, part.kind, part.own, where=f"{group}.{part.name}"))
            for group in _PUBLISHED
            for part in getattr(recipe, group)
        ]

    def check(self, wanted: Sequence[str]) -> None:
        """Raise the errors of the wanted parts' checks, before anything is written."""
        self._check_own(wanted)
        self.options.new_engine()  # refuses one that is unknown or not installed
        if self.recipe.sources and _DATA.intersection(wanted):
            build.check(*build_specs(self.recipe), self.options)
        known = self.data_is_known(wanted)
        for group, name, part in self.parts:
            if group not in wanted or (known and self._is_trained(group, name, part)):
                continue
            if isinstance(part, Checked):
                part.check(self.out if known else None)
            if group == "train" and known and not self.new_version:
                settings = self._settings(group, part)
                key = f"{group}.{name}"
                if not goes_on(self.out, key, f"{_PUBLISHED[group]}/{name}", part, settings):
                    check_version(self.out, key, settings)

    def _is_trained(self, group: str, name: str, part: LoopPart) -> bool:
        """Return whether a part is a training that is complete and up to date."""
        if group != "train" or not self.out.is_dir():
            return False
        found = find_manifest(self.out, f"{_PUBLISHED[group]}/{name}")
        if found is None or not found.in_place(self.out):
            return False
        return found.fingerprint == fingerprint(self._settings(group, part))

    def _check_own(self, wanted: Sequence[str]) -> None:
        """Raise StoreError if the run would replace files that no run made."""
        self._check_recipe()
        check_own(self.out, None, (RESULTS, _TIMES, _RECIPE, "report.html"))
        if self.recipe.sources and _DATA.intersection(wanted):
            check_own(self.out, "build", ("data", "rejects"))
        for group, name, _ in self.parts:
            if group in wanted:
                check_own(self.out, f"{group}.{name}", [f"{_PUBLISHED[group]}/{name}"])

    def _check_recipe(self) -> None:
        before = _read(self.out / _RECIPE).get("name", self.recipe.name)
        if before != self.recipe.name:
            raise StoreError(
                f"this folder holds the run of another recipe, {before}",
                value=self.out,
                fix=f"choose another folder with --out for {self.recipe.name}",
            )

    def data_is_known(self, wanted: Sequence[str]) -> bool:
        """Return whether the parts will read the data already published in the folder."""
        if not self.recipe.sources:
            return True
        published = self.out.is_dir() and find_manifest(self.out, "data") is not None
        return published and not _DATA.intersection(wanted)

    def run(self, wanted: Sequence[str], progress: Callable[[Progress], None] | None) -> None:
        """Run the wanted parts in order, writing the results after each."""
        if _DATA.intersection(wanted) and self.recipe.sources:
            self._build(progress)
        for group, name, part in self.parts:
            if group in wanted:
                self._make(group, name, part)
        if "report" in wanted:
            _write_report(self.out, self.recipe)

    def _build(self, progress: Callable[[Progress], None] | None) -> None:
        sources, steps = build_specs(self.recipe)
        built = build.build(
            sources,
            steps,
            out=self.out,
            seed=self.recipe.seed,
            new_version=self.new_version,
            options=replace(self.options, progress=progress),
        )
        if built.timings["shards"]:
            self._write(_TIMES, {**_read(self.out / _TIMES), "build": dict(built.timings)})
        self.write_results()

    def _make(self, group: str, name: str, part: LoopPart) -> None:
        """Run one training or benchmark, unless its result is already published."""
        settings, key = self._settings(group, part), f"{group}.{name}"
        published = f"{_PUBLISHED[group]}/{name}"
        if not self.new_version and goes_on(self.out, key, published, part, settings):
            readers = [f"evaluate.{each.name}" for each in self.recipe.evaluate]
            go_on(self.out, key, published, settings, readers)
        work = claim_version(self.out, key, settings, new_version=self.new_version)
        found = find_manifest(self.out, published)
        if found is None or found.fingerprint != work.name or not found.in_place(self.out):
            self._publish(part, name, published, work, fingerprint(settings["inputs"]))
        if isinstance(part, Extending):
            part.trim(work)
        retire_versions(
            self.out, key, [_CACHE, *([work.name] if isinstance(part, Extending) else [])]
        )
        self.write_results()

    def _publish(self, part: LoopPart, name: str, published: str, work: Path, inputs: str) -> None:
        staged = staging_folder(self.out, published)
        work.mkdir(parents=True, exist_ok=True)
        context = PartContext(
            name=name,
            seed=self.recipe.seed,
            run=self.out,
            work=work,
            cache=work.with_name(_CACHE),
            output=staged,
            inputs=inputs,
            workers=self.workers,
            chunk_runner=partial(ChunkRunner, self.options.workers, self.options.engine),
        )
        started = time.perf_counter()
        result = part.run(context)
        times = {"seconds": time.perf_counter() - started, **result.timings}
        self._write(_TIMES, {**_read(self.out / _TIMES), published: times})
        facts = {"results": dict(result.results)}
        publish_folder(self.out, published, staged, made_from=work.name, facts=facts)

    def _settings(self, group: str, part: LoopPart) -> dict[str, Json]:
        """Return everything that can change a part's result: its settings, the seed, its inputs."""
        read = ["data"] if self.recipe.sources else []
        if group == "evaluate":
            read += [f"models/{name}" for kind, name, _ in self.parts if kind == "train"]
        return {
            "version": part.version,
            "parameters": dict(part.parameters),
            "seed": self.recipe.seed,
            "inputs": {name: self._content(name) for name in read},
        }

    def _content(self, published: str) -> str:
        manifest = find_manifest(self.out, published)
        if manifest is None or not manifest.in_place(self.out):
            raise StoreError(
                f"{published!r} has not been made yet",
                value=self.out,
                fix="run the whole recipe, or make that part first with --only",
            )
        return manifest.content

    def write_results(self) -> None:
        """Collect the results of all finished parts into `results.json`."""
        self._write(_RECIPE, self.recipe.model_dump(mode="json"))
        found: dict[str, Json] = {"recipe": self.recipe.name, "seed": self.recipe.seed}
        data = find_manifest(self.out, "data")
        if data is not None:
            found["build"] = dict(data.facts)
        for group, name, _ in self.parts:
            manifest = find_manifest(self.out, f"{_PUBLISHED[group]}/{name}")
            if manifest is None or has_released(self.out, f"{group}.{name}"):
                continue
            if group == "train":
                found.setdefault("train", {})[name] = manifest.facts["results"]
            else:
                for key, value in manifest.facts["results"].items():
                    found.setdefault(key, {}).update(value)
        self._write(RESULTS, found)

    def dry_run(self) -> list[tuple[str, str, str]]:
        """Return the name, state and settings of every part."""
        rows = [
            (f"{spec.group}.{spec.name}", self._state("data"), _described(spec.kind, spec.settings))
            for specs in build_specs(self.recipe)
            for spec in specs
            if spec.create()
        ]
        for group, name, part in self.parts:
            state = self._state(f"{_PUBLISHED[group]}/{name}")
            known = group == "train" and self.data_is_known(())
            if known and not self._is_trained(group, name, part):
                state = "to do"  # or to go on with
            rows.append(
                (f"{group}.{name}", state, _described(type(part).__name__, part.parameters))
            )
        return rows

    def _state(self, published: str) -> str:
        exists = self.out.is_dir() and find_manifest(self.out, published) is not None
        return "done" if exists else "to do"

    def _write(self, name: str, content: Json) -> None:
        data, path = readable_json(content), self.out / name
        if find_manifest(self.out, name) is None or path.read_bytes() != data:
            write_file(self.out, path, data)


def _described(kind: str, settings: Mapping[str, Json]) -> str:
    return f"{kind}: " + ", ".join(f"{key}={value}" for key, value in settings.items())


def _write_report(out: Path, recipe: Recipe) -> Path:
    page = create("report", "html", recipe.report)
    written: Path = page.write(out, results(out), _read(out / _TIMES))
    record_manifest(out, written.name, [written])
    return written


def _recipe_of(out: Path) -> Recipe:
    path = out / _RECIPE
    if not path.exists():
        raise StoreError("no run in this folder", value=out, fix="give the folder of a run")
    return validate(Recipe, _read(path), where=str(path))


def _read(path: Path) -> dict[str, Json]:
    content: dict[str, Json] = json.loads(path.read_bytes()) if path.exists() else {}
    return content
