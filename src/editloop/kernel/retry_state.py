"""What a sample carries through the tries of a `retry`: where it came from and what was tried.

It is kept in the provenance while the tries last, so that commits, resumes and other workers have
it; the steps of a try never see it, but for `failed`: what was tried before, and why it failed.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa

from editloop.schema import Attempt, EditSample, Image, Json, Provenance
from editloop.storage.samples import arrow_schema, from_row, to_row

__all__ = ["RetryState", "opened", "state_of"]

_KEY = "retry"
_FAILED = "failed"
_PICTURES = ("source", "target", "mask", "references")


@dataclass(frozen=True, slots=True)
class RetryState:
    """A sample's place in the tries.

    `origin` is the row of the sample before the first try, without pictures; `pictures` are those
    of its pictures that steps have changed since. `made` is the number of attempts of earlier
    tries, `last` the highest number in this one. `rejected` is why this candidate goes no further.
    """

    origin: Mapping[str, Json]
    number: int  # of the try
    pictures: Mapping[str, Json]
    made: int = 0
    last: int = 0
    failed: tuple[Mapping[str, Json], ...] = ()
    rejected: str | None = None

    @property
    def parent(self) -> str:
        """The id of the sample that is tried."""
        return str(self.origin["id"])

    def shown(self, sample: EditSample) -> EditSample:
        """Return a sample as the steps of a try see it."""
        return _noted(_bare(sample), **({_FAILED: list(self.failed)} if self.failed else {}))

    def carried(
        self, before: EditSample, after: EditSample, attempts: Sequence[Attempt]
    ) -> EditSample:
        """Return what a step made of a sample, with this state and the pictures that it replaced.

        `before` is the step's input, `attempts` are those that it rejected.
        """
        changed = {
            name: _packed(getattr(before, name))
            for name in _PICTURES
            if name not in self.pictures and getattr(before, name) != getattr(after, name)
        }
        last = max(self._last(attempts), _attempt_number(after))
        return self.held(after, pictures={**self.pictures, **changed}, last=last)

    def dropped(self, sample: EditSample, reason: str, attempts: Sequence[Attempt]) -> EditSample:
        """Return a sample that a step dropped."""
        return self.held(sample, rejected=reason, last=self._last(attempts))

    def held(self, sample: EditSample, **changes: Json) -> EditSample:
        """Return a sample that carries this state, with some changes."""
        state = asdict(replace(self, **changes))
        return _noted(_bare(sample), **{_KEY: state})

    def _last(self, attempts: Sequence[Attempt]) -> int:
        return max([self.last, *(attempt.number for attempt in attempts)])

    def linked(self, attempt: Attempt) -> Attempt:
        """Return an attempt with the tried sample as parent, numbered after earlier tries."""
        own = replace(_bare(attempt.sample), parent_id=self.parent)
        return replace(attempt, sample=own, number=self.made + attempt.number)

    def passed(self, sample: EditSample) -> EditSample:
        """Return a sample that leaves the tries: linked to its parent, without this state."""
        own, before = _bare(sample), str(self.origin["instruction"])
        facts = dict(own.provenance.parameters) if own.provenance is not None else {}
        if "attempt" in facts:
            own = _noted(own, attempt=self.made + facts["attempt"])
        if before and own.instruction != before:
            own = _noted(own, instruction_before=before)
        return replace(own, parent_id=self.parent)

    def tried_again(self, tried: EditSample, rejected: Sequence[EditSample]) -> EditSample:
        """Return the sample before the first try, for the next try; `rejected` is this one's."""
        states = [state for each in rejected if (state := state_of(each)) is not None]
        reasons = list(dict.fromkeys(state.rejected for state in states))
        failure = {"instruction": tried.instruction, "reasons": reasons}
        made = self.made + max(1, *(state.last for state in states))
        pictures: dict[str, Any] = {
            name: _unpacked(self.pictures[name]) if name in self.pictures else getattr(tried, name)
            for name in _PICTURES
        }
        again = replace(from_row(self.origin), **pictures)
        state = RetryState(self.origin, self.number + 1, {}, made, failed=(*self.failed, failure))
        return state.held(replace(again, id=_name(again, state.number)))


def opened(sample: EditSample) -> tuple[EditSample, RetryState]:
    """Return a sample at its first try, and its state."""
    bare = replace(sample, source=None, target=None, mask=None, references=())
    (row,) = pa.Table.from_pylist([to_row(bare)], arrow_schema()).to_pylist()
    return replace(sample, id=_name(sample, 1)), RetryState(row, 1, {})


def state_of(sample: EditSample) -> RetryState | None:
    """Return the state that a sample carries; None if it is in no retry."""
    facts = {} if sample.provenance is None else sample.provenance.parameters
    found = facts.get(_KEY)
    return None if found is None else RetryState(**{**found, "failed": tuple(found["failed"])})


def _name(sample: EditSample, number: int) -> str:
    return f"{sample.id}/try-{number}"


def _attempt_number(sample: EditSample) -> int:
    facts = {} if sample.provenance is None else sample.provenance.parameters
    return int(facts.get("attempt", 1))


def _noted(sample: EditSample, **facts: Json) -> EditSample:
    if not facts:
        return sample
    made = sample.provenance or Provenance("", "")
    return replace(sample, provenance=replace(made, parameters={**made.parameters, **facts}))


def _bare(sample: EditSample) -> EditSample:
    """Return a sample without the notes of a retry."""
    made = sample.provenance
    if made is None or not {_KEY, _FAILED} & {*made.parameters}:
        return sample
    rest = {key: each for key, each in made.parameters.items() if key not in (_KEY, _FAILED)}
    bare = replace(made, parameters=rest)
    return replace(sample, provenance=None if bare == Provenance("", "") else bare)


def _packed(picture: Image | tuple[Image, ...] | None) -> Json:
    if picture is None:
        return None
    if isinstance(picture, tuple):
        return list(map(_packed, picture))
    return {"bytes": base64.b64encode(picture.bytes).decode(), "path": picture.path}


def _unpacked(stored: Json) -> Any:
    """Return the picture, or the tuple of pictures, that `_packed` was given."""
    if stored is None:
        return None
    if isinstance(stored, list):
        return tuple(map(_unpacked, stored))
    return Image(base64.b64decode(stored["bytes"]), stored["path"])
