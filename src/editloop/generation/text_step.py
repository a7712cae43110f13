"""The base of steps that let a model write texts about a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from editloop.chat.messages import ReplyError
from editloop.generation.prompts import TextPrompt, read_text_prompt
from editloop.generation.replies import Fields
from editloop.kernel.chat_step import ChatStep
from editloop.kernel.steps import Keep
from editloop.schema import Attempt, EditOutcome, EditSample, Json, Provenance
from editloop.sources.hashes import text_hash

__all__ = ["TextStep", "noted", "several"]


class TextStep(ChatStep):
    """A `ChatStep` whose prompt is one of this room's, with the step's own texts filled in."""

    @cached_property
    def filled_prompt(self) -> TextPrompt:
        """The prompt of the package, or the user's own."""
        return read_text_prompt(self.settings.prompt or self.prompt)


def noted(sample: EditSample, **facts: Json) -> EditSample:
    """Return the sample with facts added to the parameters of its provenance."""
    made = sample.provenance or Provenance(generator="", revision="")
    return replace(sample, provenance=replace(made, parameters={**made.parameters, **facts}))


def several(
    sample: EditSample, entries: Sequence[Json], changes: Sequence[Fields | ReplyError], count: int
) -> Keep:
    """Return the samples made of a reply's entries, and every other one as a rejected attempt.

    `changes` has the changed fields of each entry, or why it cannot be used. A repeated instruction
    (`text_hash`), an entry above `count` and a missing one are attempts too, so that the numbers 1
    to `count` are all accounted for. Raises ReplyError if no entry can be used.
    """
    kept: list[EditSample] = []
    attempts: list[Attempt] = []
    seen: set[str] = set()
    for number in range(1, max(count, len(entries)) + 1):
        own = replace(sample, id=f"{sample.id}/{number}")
        change = changes[number - 1] if number <= len(entries) else ReplyError("it is missing")
        if not isinstance(change, ReplyError):
            own = replace(own, **change)
            change = _excess(own, seen, number, count) or change
        if isinstance(change, ReplyError):
            attempts.append(Attempt(own, EditOutcome.WRONG, number, reason=change.reason))
        else:
            seen.add(text_hash(own.instruction))
            kept.append(own)
    if not kept:
        raise ReplyError(attempts[0].reason or "")
    return Keep(tuple(kept), tuple(attempts))


def _excess(sample: EditSample, seen: set[str], number: int, count: int) -> ReplyError | None:
    if number > count:
        return ReplyError(f"more than the {count} that were asked for")
    return (
        ReplyError("its instruction is repeated") if text_hash(sample.instruction) in seen else None
    )
