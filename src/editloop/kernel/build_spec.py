"""The specification of a build: everything that can change its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from editloop.errors import RecipeError
from editloop.kernel.groups import gathers, grouping
from editloop.kernel.resources import Resources, resources_of
from editloop.kernel.shard_plan import ShardPlan
from editloop.kernel.steps import Source, Step
from editloop.kernel.tasks import Segment, StepSpec
from editloop.schema import Json
from editloop.storage.records import fingerprint

__all__ = ["BUILD", "BuildSpec", "MadeSteps", "make_steps", "read_build_spec"]

BUILD = "build"  # the part of the run folder that a build claims

MadeSteps = tuple[tuple[StepSpec, Any], ...]


@dataclass(frozen=True, slots=True)
class BuildSpec:
    """Everything that can change a build's result; each source and step with its spec."""

    sources: MadeSteps
    steps: MadeSteps
    seed: int
    shard_size: int

    def settings(self, plan: ShardPlan) -> dict[str, Json]:
        """Return the settings with which the run folder is claimed."""
        return {
            "seed": self.seed,
            "shard_size": self.shard_size,
            "sources": {spec.name: _described(spec, source) for spec, source in self.sources},
            "steps": {spec.name: _described(spec, step) for spec, step in self.steps},
            "order": [spec.name for spec, _ in self.steps],
            "inputs": plan.inputs,
        }

    def parts(self, plan: ShardPlan) -> dict[str, Json]:
        """Return the JSON from which `read_build_spec` recreates this spec, for `retry`."""
        return {
            "sources": [asdict(spec) for spec, _ in self.sources],
            "steps": [asdict(spec) for spec, _ in self.steps],
            "seed": self.seed,
            "shard_size": self.shard_size,
            "plan": plan.path.name,
        }

    def chains(self, folder: Path) -> list[list[Segment]]:
        """Return the segments of each source; their folders are named by fingerprint."""
        return [self._chain(folder, *made) for made in self.sources]

    def _chain(self, folder: Path, spec: StepSpec, source: Source) -> list[Segment]:
        so_far: Json = {"seed": self.seed, "source": [spec.name, _described(spec, source)]}
        groups = _segments(self.steps)
        if not groups or _loads_alone(source, groups[0], folder, so_far):
            groups.insert(0, (resources_of(source), ()))
        segments: list[Segment] = []
        for resources, group in groups:
            so_far = _extended(so_far, group)
            before = segments[-1] if segments else None
            segments.append(
                Segment(
                    folder / fingerprint(so_far),
                    tuple(spec for spec, _ in group),
                    resources,
                    bool(group) and grouping(group[0][1]) is not None,
                    source=None if segments else spec,
                    upstream=_data_of(before),
                    gathers=self._gathered_for(group),
                    index=before.folder if before and before.gathers else None,
                )
            )
        return segments

    def _gathered_for(self, group: MadeSteps) -> StepSpec | None:
        """Return the step that follows a `gather`; RecipeError if it names no groups."""
        if not group or not gathers(group[0][1]):
            return None
        if sum(gathers(step) for _, step in self.steps) > 1:
            raise RecipeError(
                "a recipe can gather once", value=group[0][0].name, fix="leave out the other one"
            )
        at = self.steps.index(group[0])
        if at + 1 == len(self.steps) or grouping(self.steps[at + 1][1]) is None:
            raise RecipeError(
                "`gather` is not followed by a step that names groups",
                value=group[0][0].name,
                fix="put it right before a step with a method `group`, or leave it out",
            )
        return self.steps[at + 1][0]


def _data_of(segment: Segment | None) -> Path | None:
    """Return the folder of the samples that a segment leaves to the next one."""
    if segment is None:
        return None
    return segment.upstream if segment.gathers else segment.folder


def _loads_alone(
    source: Source, first: tuple[Resources, MadeSteps], folder: Path, so_far: Json
) -> bool:
    """Return whether a source is loaded in a segment of its own, before the first steps.

    It shares theirs if they use the same resources, as a commit in between would only store the
    pictures twice. What was committed together before stays together.
    """
    resources, steps = first
    if grouping(steps[0][1]) is not None or gathers(steps[0][1]):
        return True
    if resources == resources_of(source):
        return False
    return not (folder / fingerprint(_extended(so_far, steps))).is_dir()


def _segments(steps: MadeSteps) -> list[tuple[Resources, MadeSteps]]:
    """Return consecutive steps with equal resources.

    A step that names groups starts a new segment, and one that gathers has its own.
    """
    found: list[tuple[Resources, MadeSteps]] = []
    for made in steps:
        resources = resources_of(made[1])
        alone = grouping(made[1]) is not None or gathers(made[1])
        if found and found[-1][0] == resources and not alone:
            found[-1] = resources, (*found[-1][1], made)
        else:
            found.append((resources, (made,)))
    return found


def _extended(so_far: Json, group: MadeSteps) -> Json:
    return [so_far, [[spec.name, _described(spec, step)] for spec, step in group]]


def read_build_spec(parts: Json) -> BuildSpec:
    """Return the spec that `BuildSpec.parts` described."""
    sources, steps = (
        make_steps([StepSpec(**spec) for spec in parts[key]]) for key in ("sources", "steps")
    )
    return BuildSpec(sources, steps, parts["seed"], parts["shard_size"])


def make_steps(specs: Sequence[StepSpec]) -> MadeSteps:
    """Return each spec with its source or step; raises RecipeError if two share a name."""
    names = [spec.name for spec in specs]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise RecipeError("two parts have the same name", value=twice[0], fix="set a `name`")
    return tuple((spec, spec.create()) for spec in specs)


def _described(spec: StepSpec, part: Source | Step) -> dict[str, Json]:
    return {"kind": spec.kind, "version": part.version, "parameters": dict(part.parameters)}
