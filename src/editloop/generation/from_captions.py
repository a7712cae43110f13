"""The step `instruct-from-captions`: instructions and captions after the edit, for captions.

UltraEdit (section 3.1, appendix A) shows a model 50 instructions and 10 examples of a pool for each
caption, and asks for three instances with minimal changes; ours answer in JSON, so a separator
inside a caption cannot break them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from pydantic import Field

from editloop.chat.messages import Question, ReplyError
from editloop.generation.novelty import rouge_l
from editloop.generation.prompts import quoted
from editloop.generation.replies import Fields, entries_of, text_of, words_in
from editloop.generation.text_step import TextStep, several
from editloop.generation.triplets import Triplet, read_triplets
from editloop.images.codec import content_hash
from editloop.kernel.chat_step import ChatStepSettings
from editloop.kernel.steps import Drop, Keep, Outcome
from editloop.runtime.seeding import generator
from editloop.schema import EditSample, Json, canonical_json
from editloop.sources.hashes import text_hash

__all__ = ["InstructFromCaptions", "InstructFromCaptionsSettings"]


class InstructFromCaptionsSettings(ChatStepSettings):
    """The pool of instructions, how many of it are shown, and what is asked for."""

    pool: Path | None = Field(default=None, description="a file of triplets; by default the seeds")
    count: int = Field(default=3, ge=1, le=50, description="instances for each caption")
    instructions: int = Field(default=50, ge=0, description="instructions of the pool to show")
    examples: int = Field(default=10, ge=0, description="triplets of the pool to show")
    words: tuple[int, int] = Field(default=(4, 60), description="least and most in a caption")
    kept: float = Field(
        default=0.5, ge=0, le=1, description="least ROUGE-L of the captions before and after"
    )


class InstructFromCaptions(TextStep):
    """Write edits for each source caption: ID/1, ID/2, ... with instruction and target caption.

    Which instructions and examples of the pool a caption sees depends on the seed and its id.
    Instances that cannot be used, or that change most of the caption, are rejected attempts.
    """

    Settings = InstructFromCaptionsSettings
    prompt = "instruct-from-captions"
    adds = frozenset({"instruction", "target_caption"})

    @cached_property
    def pool(self) -> list[Triplet]:
        """The triplets to sample from."""
        return read_triplets(self.settings.pool)

    @property
    def parameters(self) -> Mapping[str, Json]:
        """As of `ChatStep`, with the pool's content in place of its path."""
        content = canonical_json([each.line for each in self.pool])
        return {**super().parameters, "pool": content_hash(content.encode())}

    def question(self, sample: EditSample) -> Question | Outcome:
        """Return the question, or Drop if the caption is too short or too long."""
        least, most = self.settings.words
        if not least <= words_in(sample.source_caption or "") <= most:
            return Drop(f"its caption has not {least} to {most} words")
        return super().question(sample)

    def own_texts(self, sample: EditSample) -> Mapping[str, str]:
        """Return the sampled instructions and examples, and the numbers."""
        settings = self.settings
        order = generator("pool", self.context.seed, sample.id).permutation(len(self.pool))
        drawn = [self.pool[at] for at in order]
        examples, others = drawn[: settings.examples], drawn[settings.examples :]
        told = [*others, *examples][: settings.instructions]
        return {
            "count": str(settings.count),
            "least": str(settings.words[0]),
            "most": str(settings.words[1]),
            "examples": "\n".join(each.line for each in examples),
            "instructions": "\n".join(quoted(each.edit) for each in told),
        }

    def read(self, sample: EditSample, reply: str) -> Keep:
        _, entries = entries_of(reply, "edits")
        changes = [self._change(sample.source_caption or "", entry) for entry in entries]
        return several(sample, entries, changes, self.settings.count)

    def _change(self, before: str, entry: Json) -> Fields | ReplyError:
        try:
            instruction = text_of(entry, "instruction", (2, self.settings.words[1]))
            after = text_of(entry, "output", self.settings.words)
            if text_hash(before) == text_hash(after):
                raise ReplyError("its captions are the same")
            if rouge_l(before, after) < self.settings.kept:
                raise ReplyError("its caption changes more than the edit")
            return {"instruction": instruction, "target_caption": after}
        except ReplyError as error:
            return error
