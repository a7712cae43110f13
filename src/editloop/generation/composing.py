"""The step `compose`: edits of one source become a session (NHR-Edit's composition).

From the edits A to B and A to C of one picture follows the edit B to C, without a new picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

from pydantic import Field

from editloop.chat.messages import Failed, Question
from editloop.chat.prompts import fenced
from editloop.errors import FailureClass
from editloop.generation.replies import fields_of, text_of
from editloop.generation.text_step import TextStep, noted
from editloop.images.codec import content_hash
from editloop.kernel.chat_step import ChatStepSettings
from editloop.kernel.groups import units_of
from editloop.kernel.steps import Fail, Keep, Outcome
from editloop.runtime.seeding import generator
from editloop.schema import Attempt, EditOutcome, EditSample

__all__ = ["Compose", "ComposeSettings"]


class ComposeSettings(ChatStepSettings):
    """The length of sessions."""

    turns: int = Field(default=3, ge=2, le=5, description="most turns of a session")


class Compose(TextStep):
    """Add a session for each source with several edits: the targets of its edits, one by one.

    Turn 1 is one of the edits; each further turn leads from one edit's target to the next one's,
    with an instruction by the model. The edits themselves are kept. The order depends on the seed.
    A turn whose question fails for good is a rejected attempt, and ends the session before it.
    """

    Settings = ComposeSettings
    prompt = "compose"
    needs = frozenset({"source", "target", "instruction"})

    def group(self, sample: EditSample) -> str:
        """The edits of one source are a group."""
        return content_hash(sample.source_image.bytes)

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        """Return each edit; the first one of a source with its session."""
        outcomes: list[Outcome] = [Keep((sample,)) for sample in batch]
        for unit in units_of([self.group(sample) for sample in batch]):
            if len(unit) > 1:
                made = self._session([batch[at] for at in unit])
                for at in unit if isinstance(made, Fail) else unit[:1]:
                    outcomes[at] = made
        return outcomes

    def read(self, sample: EditSample, reply: str) -> EditSample:
        return replace(sample, instruction=text_of(fields_of(reply), "instruction", (2, 60)))

    def own_texts(self, sample: EditSample) -> Mapping[str, str]:
        """Return the instructions of the two edits."""
        facts = sample.provenance.parameters if sample.provenance else {}
        return {"first": fenced(facts["composed_of"][0]), "second": fenced(facts["composed_of"][1])}

    def _session(self, edits: Sequence[EditSample]) -> Keep | Fail:
        order = generator("compose", self.context.seed, self.group(edits[0])).permutation(
            len(edits)
        )
        chain = [edits[at] for at in order[: self.settings.turns]]
        name = f"{edits[0].id}/session"
        turns = [replace(chain[0], id=f"{name}/1", session=name, turn=1)]
        asked = [_turn(name, at, *pair) for at, pair in enumerate(pairwise(chain), 2)]
        questions = [(self.question(each), partial(self._read, each)) for each in asked]
        answers = self._opened().ask(
            [(each, read) for each, read in questions if isinstance(each, Question)]
        )
        attempts: list[Attempt] = []
        for each, answer in zip(asked, answers, strict=True):
            if isinstance(answer, Failed) and answer.failure is FailureClass.TRANSIENT:
                return Fail(answer.code, answer.failure, answer.message, answer.reply_key)
            if isinstance(answer, Keep) and not attempts:
                turns += answer.samples
            else:
                reason = answer.message if isinstance(answer, Failed) else "the turn before failed"
                attempts.append(Attempt(each, EditOutcome.WRONG, each.turn, reason=reason))
        return Keep((edits[0], *(turns if len(turns) > 1 else ())), tuple(attempts))


def _turn(session: str, turn: int, before: EditSample, after: EditSample) -> EditSample:
    """Return the edit from one edit's target to another's, without its instruction."""
    composed = [before.instruction, after.instruction]
    return noted(
        EditSample(
            id=f"{session}/{turn}",
            source=before.target,
            target=after.target,
            source_caption=before.target_caption,
            target_caption=after.target_caption,
            session=session,
            turn=turn,
            provenance=after.provenance,
        ),
        composed_of=composed,
    )
