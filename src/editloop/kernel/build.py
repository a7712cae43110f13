"""Building of a data set: sources to shards, shards through segments of steps, then publishing.

If a build is killed at any moment, the same call resumes it and produces the same bytes. The
settings that can change the result are claimed for the folder; workers and deadlines cannot.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from editloop.errors import FailureClass, RecipeError, StoreError
from editloop.kernel.build_spec import BUILD, BuildSpec, make_steps, read_build_spec
from editloop.kernel.committed import Committed, Work
from editloop.kernel.contract import DEADLINE, check_step
from editloop.kernel.driver import Driver, check_resources
from editloop.kernel.engines.base import Engine, make_engine
from editloop.kernel.merge import publish_set
from editloop.kernel.progress import Progress
from editloop.kernel.resources import resources_of
from editloop.kernel.shard_plan import ShardPlan, load_plan, make_plan
from editloop.kernel.tasks import StepSpec
from editloop.schema import Json
from editloop.storage.files import Files, check_below, explained
from editloop.storage.manifests import Manifest, find_manifest
from editloop.storage.records import read_record, write_record
from editloop.storage.shards import ShardStore
from editloop.storage.versions import claim_version, part_folder, retire_versions, work_folder

__all__ = ["BuildReport", "Options", "Retried", "build", "check", "clean", "retry"]


@dataclass(frozen=True, slots=True)
class Options:
    """Options of running a build; none of them changes its result.

    `engine` is the SPEC of the engine that runs the tasks. `workers` None is one per core; with 0,
    everything runs in this process, so an input that crashes a step ends the build. A step that
    takes longer than `deadline` seconds an input, and states no own deadline, is considered hung.
    `devices` names the GPUs to use; all of the machine's if not set. `progress` is called after
    each commit.
    """

    workers: int | None = 1
    engine: str = "processes"
    devices: tuple[str, ...] | None = None
    deadline: float = DEADLINE
    progress: Callable[[Progress], None] | None = None
    files: Files = field(default_factory=Files)

    def new_engine(self) -> Engine:
        """Return a new engine with these options."""
        if self.workers == 0:
            return make_engine("in-process", 1, self.devices)
        return make_engine(self.engine, self.workers, self.devices)


@dataclass(frozen=True, slots=True)
class BuildReport:
    """The result of a build: counts for `results.json`, a fingerprint of the bytes, and times.

    `counts` has in, out, dropped, quarantined, `inputs` (inputs by outcome), `by_step` (drops by
    reason, failures by code) and the same for each of `splits`.
    """

    counts: Mapping[str, Json]
    fingerprint: str
    timings: Mapping[str, Json]


class Retried(NamedTuple):
    """The number of quarantined rows that were retried, and how many fewer there are now."""

    tried: int
    passed: int


def build(
    sources: Sequence[StepSpec],
    steps: Sequence[StepSpec],
    *,
    out: Path,
    seed: int = 0,
    shard_size: int = 64,
    new_version: bool = False,
    options: Options | None = None,
) -> BuildReport:
    """Build or resume a data set in the run folder `out`, and publish it.

    The caller holds `lock(out)`. `shard_size` is the number of inputs per shard, up to 512. Raises
    ChangedError if the folder holds another version, StoreError if the disk fails, StepError if a
    step breaks its contract beyond recovery, UnavailableError if something a step needs is missing.
    """
    if not 1 <= shard_size <= 512:
        raise RecipeError(
            "shard_size is out of range", value=shard_size, fix="set shard_size from 1 to 512"
        )
    options = options or Options()
    recipe = BuildSpec(make_steps(sources), make_steps(steps), seed, shard_size)
    listed = {spec.name: source for spec, source in recipe.sources}
    plan = make_plan(listed, part_folder(out, BUILD), shard_size, options.files)
    return _Build(out, recipe, plan, options).run(new_version)


def check(
    sources: Sequence[StepSpec], steps: Sequence[StepSpec], options: Options | None = None
) -> None:
    """Raise the errors of settings, and UnavailableError for a GPU that is needed and not there."""
    parts = (*make_steps(sources), *make_steps(steps))
    named = ((spec.name, resources_of(part)) for spec, part in parts)
    check_resources(named, (options or Options()).new_engine())


def retry(
    out: Path,
    failure: FailureClass | str = FailureClass.TRANSIENT,
    options: Options | None = None,
    *,
    specs: tuple[Sequence[StepSpec], Sequence[StepSpec]] | None = None,
) -> Retried:
    """Run again the rows that the last build quarantined under one class, and publish again.

    The caller holds `lock(out)`. `specs` are the sources and steps of the build (default: as
    recorded); ChangedError if they differ from the recorded ones.
    """
    known = [each.value for each in FailureClass]
    if failure not in known:
        raise RecipeError(
            "unknown failure class", value=failure, fix=f"known classes: {', '.join(known)}"
        )
    again = FailureClass(failure)
    job = _last_build(out, options or Options(), specs)
    if job is None:
        raise StoreError("there is no build to retry", value=out, fix="run the build first")
    before = job.run().counts  # first finish an interrupted build
    tried = before["by_class"].get(again.value, 0)
    if not tried:
        return Retried(0, 0)
    after = job.run(again=again).counts
    return Retried(tried, max(0, before["quarantined"] - after["quarantined"]))


def clean(
    out: Path,
    options: Options | None = None,
    *,
    specs: tuple[Sequence[StepSpec], Sequence[StepSpec]] | None = None,
) -> int:
    """Remove the working tables of a published build; returns the bytes removed, 0 without a build.

    The published data, and all records, stay. The outputs of steps that use a GPU stay too, as they
    would be dear to make again. The caller holds `lock(out)`; `specs` as for `retry`. Raises
    StoreError if the build is not complete.
    """
    job = _last_build(out, options or Options(), specs)
    return 0 if job is None else job.clean()


def _last_build(
    out: Path, options: Options, specs: tuple[Sequence[StepSpec], Sequence[StepSpec]] | None
) -> _Build | None:
    """Return the last build of a folder, by its records or by `specs`; None if there is none."""
    folder = part_folder(out, BUILD)
    parts = read_record(options.files, folder / "parts.json")
    if parts is None:
        return None
    check_below(parts["plan"], "a plan")
    plan = load_plan(folder / parts["plan"], options.files)
    if specs is None:
        recipe = read_build_spec(parts)
    else:
        sources, steps = map(make_steps, specs)
        recipe = BuildSpec(sources, steps, parts["seed"], parts["shard_size"])
    return _Build(out, recipe, plan, options)


class _Build:
    """One build of one recipe over one plan, in a folder that is locked."""

    def __init__(self, out: Path, recipe: BuildSpec, plan: ShardPlan, options: Options) -> None:
        for spec, step in recipe.steps:
            check_step(spec.name, step)
        self._out = out
        self._folder = part_folder(out, BUILD)
        self._recipe = recipe
        self._options = options
        chains = recipe.chains(self._folder)
        cache = work_folder(out) / "cache"
        self._work = Work(plan, chains, recipe.seed, cache, options.files, options.deadline)

    def run(self, new_version: bool = False, again: FailureClass | None = None) -> BuildReport:
        """Claim the folder, run the missing work and publish."""
        start = time.perf_counter()
        engine = self._options.new_engine()
        check_resources(((each.name, each.resources) for each in self._work.segments), engine)
        self._claim(new_version)
        committed = Committed(self._work)
        if again is not None or self._published(committed) is None:
            for store in self._stores():
                store.forget_cleaned()
            committed = Committed(self._work)
        committed.sweep_orphans()
        driver = Driver(self._work, committed, self._options.progress or _ignore_progress, again)
        with engine:
            driver.run(engine)
        manifest = self._publish(committed)
        self._clean_up(committed)
        timings = {
            "seconds": time.perf_counter() - start,
            "shards": driver.ran,
            "steps": driver.seconds,
        }
        return BuildReport(manifest.facts, manifest.content, timings)

    def _claim(self, new_version: bool) -> None:
        plan, files = self._work.plan, self._options.files
        settings = self._recipe.settings(plan)
        claim_version(self._out, BUILD, settings, new_version=new_version, files=files)
        parts = self._recipe.parts(plan)
        if read_record(files, self._folder / "parts.json") != parts:
            write_record(files, self._folder / "parts.json", parts)

    def _publish(self, committed: Committed) -> Manifest:
        """Publish the commits, unless exactly these are published already."""
        return self._published(committed) or publish_set(
            self._out,
            self._work.plan,
            committed.chain,
            made_from=committed.digest(),
            files=self._options.files,
        )

    def _published(self, committed: Committed) -> Manifest | None:
        """Return the manifest of the data if it was made from exactly these commits."""
        files = self._options.files
        made_from = committed.digest()
        found = [find_manifest(self._out, name, files=files) for name in ("rejects", "data")]
        whole = [each for each in found if each is not None and each.in_place(self._out)]
        same = [each.fingerprint for each in whole] == [made_from, made_from]
        return whole[-1] if same else None

    def clean(self) -> int:
        """Remove the tables of all segments that use no GPU; returns the bytes removed."""
        if self._published(Committed(self._work)) is None:
            raise StoreError(
                "this folder's build is not complete", value=self._out, fix="run it to its end"
            )
        return sum(store.clean() for store in self._stores())

    def _stores(self) -> list[ShardStore]:
        """Return the stores of the segments whose tables `clean` may remove.

        The groups that were noted are small, and every run reads them.
        """
        return [
            ShardStore(segment.folder, self._options.files)
            for segment in self._work.segments
            if not segment.resources.gpus and segment.gathers is None
        ]

    def _clean_up(self, committed: Committed) -> None:
        """Remove the files of older versions and generations."""
        committed.sweep()
        plan, files = self._work.plan.path, self._options.files
        folders = {segment.folder.name for segment in self._work.segments}
        retire_versions(self._out, BUILD, folders, files=files)
        with explained("remove an old plan", self._folder):
            for name in files.names(self._folder):
                if name.startswith("plan-") and name != plan.name:
                    files.remove(self._folder / name)


def _ignore_progress(_: Progress) -> None:
    return None
