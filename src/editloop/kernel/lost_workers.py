"""Recovery of a shard whose worker was lost, so that one bad input costs only that input.

A shard whose worker was killed runs again whole, as most losses are accidents. If its worker is
killed again, or hangs (which costs a full deadline each time), each input runs alone to find the
ones that cause it, and then the shard runs without them. If that worker is lost too, the inputs
fail only in combination, and the shard runs one input or group at a time. Inputs of one group run
together.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from editloop.errors import StepError
from editloop.kernel.engines.base import Loss
from editloop.kernel.shard_inputs import count_units
from editloop.kernel.tasks import ShardTask

__all__ = ["MOST_CULPRITS", "Suspects"]

MOST_CULPRITS = 8  # per shard; with more, the step is at fault and not its input


@dataclass(slots=True)
class _Case:
    """The recovery state of one shard."""

    lost_once: bool = False
    probed: bool = False
    waiting: set[int] = field(default_factory=set)  # units whose single run has not ended
    culprits: dict[int, Loss] = field(default_factory=dict)


class Suspects:
    """The shards that lost a worker, and the tasks each must run next."""

    def __init__(self) -> None:
        self._cases: dict[tuple[str, str], _Case] = {}

    def next_tasks(self, task: ShardTask, loss: Loss | None) -> list[ShardTask]:
        """Return the tasks to run next; empty if all is done or others are still running.

        Raises StepError if the shard cannot be recovered.
        """
        at = str(task.segment.folder), task.shard.name
        if loss is None and task.unit is None:
            self._cases.pop(at, None)
            return []
        case = self._cases.setdefault(at, _Case())
        if task.unit is None:
            return self._after_whole(case, task, loss)
        return self._after_unit(case, task, task.unit, loss)

    def _after_whole(self, case: _Case, task: ShardTask, loss: Loss | None) -> list[ShardTask]:
        if loss is Loss.KILLED and not case.lost_once:
            case.lost_once = True
            return [task]
        if not case.probed:
            case.probed = True
            case.waiting = set(range(count_units(task)))
            return [replace(task, unit=unit) for unit in sorted(case.waiting)]
        if not task.single:
            return [replace(task, single=True)]
        raise StepError(
            f"workers die on shard {task.shard.name} although each of its inputs succeeds alone",
            value=task.segment.name,
            fix="give each worker more memory (fewer --workers), then run again",
        )

    def _after_unit(
        self, case: _Case, task: ShardTask, unit: int, loss: Loss | None
    ) -> list[ShardTask]:
        case.waiting.discard(unit)
        if loss is not None:
            case.culprits[unit] = loss
        if len(case.culprits) > MOST_CULPRITS:
            raise StepError(
                f"workers die on more than {MOST_CULPRITS} inputs of shard {task.shard.name}",
                value=task.segment.name,
                fix="fix the step or give the machine more memory, then run again",
            )
        if case.waiting:
            return []
        return [replace(task, unit=None, lost=tuple(sorted(case.culprits.items())))]
