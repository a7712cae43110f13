"""The work of a worker: run one segment on one shard and commit the result.

`run_shard` depends only on its descriptor: running it elsewhere or again gives the same result.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from editloop.errors import FailureClass
from editloop.kernel.book import (
    ATTEMPTS,
    DATA,
    QUARANTINE,
    REJECTS,
    Book,
    Tables,
    attempts_table,
    changed_rows,
    check_book,
    data_table,
    id_digest,
)
from editloop.kernel.contract import Identified, Stage, answers
from editloop.kernel.counts import tally
from editloop.kernel.engines.base import Loss
from editloop.kernel.engines.worker import current_worker
from editloop.kernel.gather_index import index_table
from editloop.kernel.groups import Unit, group_names, packed, units_of
from editloop.kernel.ready_steps import group_function, ready_stages
from editloop.kernel.shard_inputs import changed_upstream, read_inputs
from editloop.kernel.steps import Fail, Keep, Outcome
from editloop.kernel.tasks import ShardEnd, ShardTask, rows_by_shard
from editloop.schema import EditSample, Json
from editloop.storage.shards import ShardStore

__all__ = ["run_shard"]

BATCH = 64  # rows per call of a step; batch boundaries are fixed within a shard
STORING = 600.0  # seconds that reading or committing a shard may take

_LOST = {
    Loss.KILLED: ("worker-killed", FailureClass.BUG),
    Loss.HUNG: ("worker-hung", FailureClass.TRANSIENT),
}


def run_shard(task: ShardTask) -> ShardEnd:
    """Run a segment on a shard and commit it. Raises StoreError, StepError, UnavailableError."""
    worker = current_worker()
    worker.expect(STORING)
    if task.segment.gathers is not None:
        return _note_groups(task)
    store = ShardStore(task.segment.folder, task.files)
    inputs = read_inputs(task)
    order = [row.id for row in inputs]
    groups = group_names(group_function(task), inputs)
    units = units_of(groups)
    old = _previous(store, task)
    pending = _pending(task, order, units, old)
    run = _Run(task, _attempts(old), _taken(order, old, pending))
    data = run.process(inputs, units, pending)
    worker.expect(STORING)
    if task.unit is not None:
        return ShardEnd(0, {})
    tables = run.book.tables(data, order)
    facts: dict[str, Json] = {"in": len(order), "input_ids": id_digest(order)}
    if old is not None:
        if changed := changed_rows(old.data, tables.data):
            facts["changed"] = changed
        tables = old.merged(tables, pending, order)
    if task.segment.index is not None:
        facts["inputs"], facts["portions"] = order, rows_by_shard(task.portions)
    elif task.segment.grouped:
        facts["groups"] = sorted(set(groups))
    check_book(order, tables, f"shard {task.shard.name}")
    facts |= tally(tables)
    store.commit(
        task.shard.name,
        tables.named(),
        fingerprint=task.shard.fingerprint,
        facts=facts,
        generation=task.generation,
    )
    return ShardEnd(tables.data.num_rows, run.seconds)


def _note_groups(task: ShardTask) -> ShardEnd:
    """Commit the group of each input, as the step names it."""
    inputs = read_inputs(task)
    order = [row.id for row in inputs]
    index = index_table(order, group_names(group_function(task), inputs))
    empty = (REJECTS.empty_table(), QUARANTINE.empty_table(), ATTEMPTS.empty_table())
    tables = Tables(index, *empty)
    facts: dict[str, Json] = {"in": len(order), "input_ids": id_digest(order), **tally(tables)}
    if changed := changed_upstream(task):
        facts["changed"] = sorted(changed)
    ShardStore(task.segment.folder, task.files).commit(
        task.shard.name,
        tables.named(),
        fingerprint=task.shard.fingerprint,
        facts=facts,
        generation=task.generation,
    )
    return ShardEnd(0, {})


class _Run:
    """One pass of a shard's rows through the segment's stages."""

    def __init__(self, task: ShardTask, attempts: Mapping[str, int], taken: set[str]) -> None:
        self.book = Book()
        self.seconds: dict[str, float] = {}
        self._task = task
        self._attempts = attempts
        self._taken = taken

    def process(
        self, inputs: Sequence[Identified], units: Sequence[Unit], pending: Collection[str]
    ) -> pa.Table:
        """Return the data table of the pending inputs; the others have their outcomes already."""
        lost, live = dict(self._task.lost), set()
        for index, unit in enumerate(units):
            if self._task.unit not in (None, index):
                continue
            for at in unit:
                name = inputs[at].id
                if index in lost and name in pending:
                    self._fail(name, name, self._task.segment.name, _lost(lost[index]))
                elif name in pending:
                    live.add(at)
        rows: list[tuple[str, Any]] = [(row.id, row) for at, row in enumerate(inputs) if at in live]
        for stage in ready_stages(self._task):
            rows = self._advance(stage, rows)
        return self._stored(rows)

    def _advance(self, stage: Stage[Any], live: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        start = time.perf_counter()
        rows = [row for _, row in live]
        outcomes: dict[int, Outcome] = {}
        units = units_of(group_names(stage.group, rows))
        for batch in packed(units, 1 if self._task.single else BATCH):
            places = [at for unit in batch for at in unit]
            found = answers(stage, [rows[at] for at in places], list(map(len, batch)))
            outcomes.update(zip(places, found, strict=True))
        after: list[tuple[str, Any]] = []
        for at, (origin, row) in enumerate(live):
            after += self._settle(stage.name, origin, row, outcomes[at])
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
            self.book.drop(origin, row.id, step, outcome)
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


def _pending(
    task: ShardTask, order: Sequence[str], units: Sequence[Unit], old: Tables | None
) -> set[str]:
    """Return the inputs to process.

    These are the ones without an outcome, those that failed under the class `again`, and those that
    the segment before has made anew; and all others of their groups.
    """
    if old is None:
        return set(order)
    tables = (old.data, old.rejects, old.quarantine)
    settled = {name for table in tables for name in table.column("input").to_pylist()}
    if task.segment.grouped and not settled.issubset(order):
        return set(order)  # a group has lost a sample, and nobody knows which one
    failed = {row["input"] for row in old.quarantine.to_pylist() if row["class"] == task.again}
    anew = failed | changed_upstream(task)
    pending = {name for name in order if name not in settled or name in anew}
    return {order[at] for unit in units if pending & {order[at] for at in unit} for at in unit}


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
