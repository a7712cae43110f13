"""The steps of a worker: each is set up once, whatever the number of segments and shards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from editloop.kernel.contract import Stage, load_stage, step_stage
from editloop.kernel.engines.worker import current_worker
from editloop.kernel.groups import grouping
from editloop.kernel.steps import StepContext
from editloop.kernel.tasks import ShardTask, StepSpec
from editloop.schema import canonical_json

__all__ = ["group_function", "ready_stages"]

SETTING_UP = 3600.0  # seconds that the setup of a step may take, such as loading large weights


def ready_stages(task: ShardTask) -> list[Stage[Any]]:
    """Return a segment's stages; each step is set up once per worker, whatever the segment."""
    segment = task.segment
    stages: list[Stage[Any]] = []
    if segment.source is not None:
        source = current_worker().kept(
            ("source", _key(task, segment.source)), segment.source.create
        )
        stages.append(load_stage(segment.source.name, source, task.deadline))
    made = ((spec.name, _ready(task, spec).step) for spec in segment.steps)
    return [*stages, *(step_stage(name, step, task.deadline) for name, step in made)]


class _ReadyStep:
    """A step that is set up in this worker."""

    def __init__(self, task: ShardTask, spec: StepSpec) -> None:
        worker = current_worker()
        worker.expect(SETTING_UP)
        self.split = task.shard.split
        self.context = StepContext(task.seed, self.split, task.cache, worker.device)
        self.step = spec.create()
        self.step.setup(self.context)

    def close(self) -> None:
        getattr(self.step, "close", lambda: None)()


def _ready(task: ShardTask, spec: StepSpec) -> _ReadyStep:
    """Return a step, set up by the worker's first task with it, or for the split if it reads it."""
    worker, key = current_worker(), ("step", _key(task, spec))
    made = worker.kept(key, lambda: _ReadyStep(task, spec))
    split = task.shard.split
    if made.context.split_was_read and made.split != split:
        made = worker.kept((*key, split), lambda: _ReadyStep(task, spec))
    return made


def _key(task: ShardTask, spec: StepSpec) -> str:
    return canonical_json([asdict(spec), task.seed, str(task.cache)])


def group_function(task: ShardTask) -> Callable[[Any], str] | None:
    """Return the function that names the groups of a task's inputs, if its segment has groups."""
    if task.segment.gathers is not None:
        spec = task.segment.gathers
        return grouping(current_worker().kept(("grouping", _key(task, spec)), spec.create))
    return grouping(_ready(task, task.segment.steps[0]).step) if task.segment.grouped else None
