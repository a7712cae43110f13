"""The steps of a worker: each is set up once, whatever the number of segments and shards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from editloop.kernel.contract import Stage, load_stage, step_stage
from editloop.kernel.engines.worker import current_worker
from editloop.kernel.groups import grouping
from editloop.kernel.steps import StepContext
from editloop.kernel.tasks import ShardTask, StepSpec
from editloop.schema import canonical_json

__all__ = ["group_function", "ready_stages", "ready_step"]

SETTING_UP = 3600.0  # seconds that the setup of a step may take, such as loading large weights


def ready_stages(task: ShardTask) -> list[Stage[Any]]:
    """Return a segment's stages; each step is set up once per worker, whatever the segment."""
    segment = task.segment
    stages: list[Stage[Any]] = []
    if segment.source is not None:
        source = current_worker().kept(
            ("source", _key(segment.source, task.seed, task.cache)), segment.source.create
        )
        stages.append(load_stage(segment.source.name, source, task.deadline))
    made = ((spec.name, _ready(task, spec)) for spec in segment.steps)
    return [*stages, *(step_stage(name, step, task.deadline) for name, step in made)]


class _ReadyStep:
    """A step that is set up in this worker."""

    def __init__(self, spec: StepSpec, seed: int, split: str, cache: Path | None) -> None:
        worker = current_worker()
        worker.expect(SETTING_UP)
        self.split = split
        self.context = StepContext(seed, split, cache, worker.device)
        self.step = spec.create()
        self.step.setup(self.context)

    def close(self) -> None:
        getattr(self.step, "close", lambda: None)()


def ready_step(spec: StepSpec, seed: int, split: str, cache: Path | None) -> Any:
    """Return a step of this worker, set up once, or once for each split if it reads the split."""
    worker, key = current_worker(), ("step", _key(spec, seed, cache))
    made = worker.kept(key, lambda: _ReadyStep(spec, seed, split, cache))
    if made.context.split_was_read and made.split != split:
        made = worker.kept((*key, split), lambda: _ReadyStep(spec, seed, split, cache))
    return made.step


def _ready(task: ShardTask, spec: StepSpec) -> Any:
    return ready_step(spec, task.seed, task.shard.split, task.cache)


def _key(spec: StepSpec, seed: int, cache: Path | None) -> str:
    return canonical_json([asdict(spec), seed, str(cache)])


def group_function(task: ShardTask) -> Callable[[Any], str] | None:
    """Return the function that names the groups of a task's inputs, if its segment has groups."""
    if task.segment.gathers is not None:
        spec = task.segment.gathers
        key = ("grouping", _key(spec, task.seed, task.cache))
        return grouping(current_worker().kept(key, spec.create))
    return grouping(_ready(task, task.segment.steps[0])) if task.segment.grouped else None
