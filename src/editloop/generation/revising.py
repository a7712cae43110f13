"""The step `revise`: within a `retry`, a model rewrites an instruction that an editor failed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from editloop.chat.messages import Question, ReplyError
from editloop.generation.prompts import quoted
from editloop.generation.replies import fields_of, text_of
from editloop.generation.text_step import TextStep
from editloop.kernel.steps import Keep, Outcome
from editloop.schema import EditSample, Json
from editloop.sources.hashes import text_hash

__all__ = ["Revise"]


class Revise(TextStep):
    """Rewrite the instruction by what failed in earlier tries; in the first try, keep it.

    The model sees the source, the instruction, and each instruction that was tried with the reasons
    why its pictures were rejected. An instruction that was tried before is asked for again.
    """

    prompt = "revise"
    adds = frozenset({"instruction"})

    def question(self, sample: EditSample) -> Question | Outcome:
        """Return the question about a sample that failed before; any other stays as it is."""
        return super().question(sample) if _failed(sample) else Keep((sample,))

    def own_texts(self, sample: EditSample) -> Mapping[str, str]:
        """Return what was tried, one JSON object per line."""
        return {"failed": "\n".join(map(quoted, _failed(sample)))}

    def read(self, sample: EditSample, reply: str) -> EditSample:
        text = text_of(fields_of(reply), "instruction", (2, 60))
        tried = [sample.instruction, *(each["instruction"] for each in _failed(sample))]
        if text_hash(text) in map(text_hash, tried):
            raise ReplyError("it repeats an instruction that failed")
        return replace(sample, instruction=text)


def _failed(sample: EditSample) -> list[dict[str, Json]]:
    """Return the instructions of earlier tries, each with the reasons of its failure."""
    return list(sample.provenance.parameters.get("failed", ())) if sample.provenance else []
