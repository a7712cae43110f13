"""The work of a worker: run one segment on one shard and commit the result.

`run_shard` depends only on its descriptor: running it elsewhere or again gives the same result.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from editloop.errors import CorruptError, FailureClass
from editloop.kernel.book import (
    ATTEMPTS,
    DATA,
    QUARANTINE,
    REJECTS,
    Book,
    Tables,
    attempts_table,
    check_book,
    data_table,
    id_digest,
    tally,
)
from editloop.kernel.contract import Identified, Stage, answers, load_stage, step_stage
from editloop.kernel.engines.base import Loss
from editloop.kernel.engines.worker import current_worker
from editloop.kernel.shard_plan import read_items
from editloop.kernel.steps import Fail, Keep, Outcome, StepContext
from editloop.kernel.tasks import ShardEnd, ShardTask, StepSpec
from editloop.schema import EditSample, canonical_json
from editloop.storage.commits import Commit
from editloop.storage.samples import from_row
from editloop.storage.shards import ShardStore

__all__ = ["count_inputs", "run_shard"]

BATCH = 64  # rows per call of a step; batch boundaries are fixed within a shard
SETTING_UP = 3600.0  # seconds that the setup of a step may take, such as loading large weights
STORING = 600.0  # seconds that reading or committing a shard may take

_LOST = {
    Loss.KILLED: ("worker-killed", FailureClass.BUG),
    Loss.HUNG: ("worker-hung", FailureClass.TRANSIENT),
}


def run_shard(task: ShardTask) -> ShardEnd:
    """Run a segment on a shard and commit it. Raises StoreError, StepError, UnavailableError."""
    worker = current_worker()
    worker.expect(STORING)
    store = ShardStore(task.segment.folder, task.files)
    inputs = _inputs(task)
    order = [row.id for row in inputs]
    old = _previous(store, task)
    pending = _pending(order, old, task.again)
    run = _Run(task, _attempts(old), _taken(order, old, pending))
    data = run.process([row if row.id in pending else None for row in inputs])
    worker.expect(STORING)
    if task.row is not None:
        return ShardEnd(0, {})
    tables = run.book.tables(data, order)
    if old is not None:
        tables = old.merged(tables, pending, order)
    check_book(order, tables, f"shard {task.shard.name}")
    facts = {"in": len(order), "input_ids": id_digest(order), **tally(tables)}
    store.commit(
        task.shard.name,
        tables.named(),
        fingerprint=task.shard.fingerprint,
        facts=facts,
        generation=task.generation,
    )
    return ShardEnd(tables.data.num_rows, run.seconds)


def count_inputs(task: ShardTask) -> int:
    """Return the number of inputs of a task."""
    if task.segment.upstream is None:
        return len(read_items(task.plan, task.shard, task.files))
    _, commit = _upstream(task, task.segment.upstream)
    return commit.files["data"].rows


def _inputs(task: ShardTask) -> Sequence[Identified]:
    """Return a segment's inputs: the plan's items, or the samples of the segment before it."""
    if task.segment.upstream is None:
        return read_items(task.plan, task.shard, task.files)
    store, commit = _upstream(task, task.segment.upstream)
    return [from_row(row) for batch in store.read(commit) for row in batch.to_pylist()]


def _upstream(task: ShardTask, folder: Path) -> tuple[ShardStore, Commit]:
    store = ShardStore(folder, task.files)
    commit = store.find(task.shard.name, task.shard.fingerprint, task.upstream_generation)
    if commit is None:
        raise CorruptError("a shard's input is missing", value=folder, fix="run the recipe again")
    return store, commit


class _Run:
    """One pass of a shard's rows through the segment's stages."""

    def __init__(self, task: ShardTask, attempts: Mapping[str, int], taken: set[str]) -> None:
        self.book = Book()
        self.seconds: dict[str, float] = {}
        self._task = task
        self._attempts = attempts
        self._taken = taken

    def process(self, inputs: Sequence[Identified | None]) -> pa.Table:
        """Return the data table of the rows; a None is a row that already has its outcome."""
        live: list[tuple[str, Any]] = []
        lost = dict(self._task.lost)
        for index, row in enumerate(inputs):
            if row is None or self._task.row not in (None, index):
                continue
            if index in lost:
                self._fail(row.id, row.id, self._task.segment.name, _lost(lost[index]))
            else:
                live.append((row.id, row))
        for stage in _stages(self._task):
            live = self._advance(stage, live)
        return self._stored(live)

    def _advance(self, stage: Stage[Any], live: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        start = time.perf_counter()
        size = 1 if self._task.single else BATCH
        after: list[tuple[str, Any]] = []
        for at in range(0, len(live), size):
            batch = live[at : at + size]
            outcomes = answers(stage, [row for _, row in batch])
            for (origin, row), outcome in zip(batch, outcomes, strict=True):
                after += self._settle(stage.name, origin, row, outcome)
        spent = time.perf_counter() - start
        self.seconds[stage.name] = self.seconds.get(stage.name, 0.0) + spent
        return after

    def _settle(
        self, step: str, origin: str, row: Identified, outcome: Outcome
    ) -> Iterable[tuple[str, EditSample]]:
        """Record an outcome; returns the (input, sample) pairs for the next stage."""
        if isinstance(outcome, Keep):
            new = {sample.id for sample in outcome.samples} - {row.id}
            if taken := sorted(new & self._taken):
                message = f"{step} gave an id that another sample has: {taken[0]!r}"
                outcome = Fail("contract", FailureClass.BUG, message)
        if not isinstance(outcome, Fail) and outcome.attempts:
            try:
                self.book.attempts.append(attempts_table(origin, outcome.attempts))
            except Exception as error:  # Arrow cannot hold one: the input fails, with its cause
                message = f"{step} made an attempt that cannot be stored: {error}"
                outcome = Fail("contract", FailureClass.BUG, message)
        if isinstance(outcome, Keep):
            self._taken |= {sample.id for sample in outcome.samples} - {row.id}
            return [(origin, sample) for sample in outcome.samples]
        if isinstance(outcome, Fail):
            self._fail(origin, row.id, step, outcome)
        else:
            self.book.drop(origin, row.id, step, outcome.reason)
        return []

    def _fail(self, origin: str, name: str, step: str, fail: Fail) -> None:
        self.book.quarantine(origin, name, step, fail, self._attempts.get(origin, 0) + 1)

    def _stored(self, live: list[tuple[str, EditSample]]) -> pa.Table:
        """Return the rows as a table; only a sample that Arrow cannot store fails."""
        try:
            return data_table(live)
        except Exception:
            step = self._task.segment.name
            stage: Stage[EditSample] = Stage(step, _storable)
            return data_table(self._advance(stage, live))


def _storable(samples: Sequence[EditSample]) -> list[Outcome]:
    data_table(("", sample) for sample in samples)
    return [Keep((sample,)) for sample in samples]


def _lost(loss: Loss) -> Fail:
    code, failure = _LOST[loss]
    return Fail(code, failure, f"the worker was {loss.value} each time it had this input")


def _previous(store: ShardStore, task: ShardTask) -> Tables | None:
    if task.previous is None:
        return None
    commit = store.find(task.shard.name, task.shard.fingerprint, task.previous)
    if commit is None:
        return None
    return Tables(
        store.table(commit, "data", DATA),
        store.table(commit, "rejects", REJECTS),
        store.table(commit, "quarantine", QUARANTINE),
        store.table(commit, "attempts", ATTEMPTS),
    )


def _pending(order: Sequence[str], old: Tables | None, again: str | None) -> set[str]:
    """Return the inputs to process: those without an outcome, and failures of class `again`."""
    if old is None:
        return set(order)
    tables = (old.data, old.rejects, old.quarantine)
    settled = {name for table in tables for name in table.column("input").to_pylist()}
    failed = {row["input"] for row in old.quarantine.to_pylist() if row["class"] == again}
    return {name for name in order if name not in settled or name in failed}


def _attempts(old: Tables | None) -> dict[str, int]:
    rows = [] if old is None else old.quarantine.select(["input", "attempts"]).to_pylist()
    attempts: dict[str, int] = {}
    for row in rows:
        attempts[row["input"]] = max(attempts.get(row["input"], 0), row["attempts"])
    return attempts


def _taken(order: Sequence[str], old: Tables | None, pending: set[str]) -> set[str]:
    """Return the ids no new sample may use: those of all inputs and of the samples kept."""
    taken = set(order)
    if old is not None:
        pairs = old.data.select(["input", "id"]).to_pylist()
        taken |= {pair["id"] for pair in pairs if pair["input"] not in pending}
    return taken


def _stages(task: ShardTask) -> list[Stage[Any]]:
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
