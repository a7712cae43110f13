"""The steps `rewrite`, `recaption`, `inverse` and `backward-check`: texts from the two pictures.

HQ-Edit lets a vision model rewrite instructions and write inverse ones from both pictures; later
sets add captions (UnicEdit) and a check of the inverse edit (NHR-Edit).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field

from editloop.chat.messages import ReplyError
from editloop.generation.replies import fields_of, text_of, yes_or_no
from editloop.generation.text_step import TextStep, noted
from editloop.kernel.chat_step import ChatStepSettings
from editloop.kernel.steps import Drop
from editloop.schema import EditSample
from editloop.sources.hashes import text_hash

__all__ = ["BackwardCheck", "Inverse", "Recaption", "RecaptionSettings", "Rewrite"]

_INSTRUCTION = (2, 60)  # words
_CAPTIONS = {
    "source_long": (4, 200),
    "source_short": (2, 40),
    "target_long": (4, 200),
    "target_short": (2, 40),
    "target_local": (1, 30),
}


class Rewrite(TextStep):
    """Rewrite the instruction so that it says what changed between the pictures.

    The former one is kept in the provenance as `instruction_before`.
    """

    prompt = "rewrite"
    adds = frozenset({"instruction"})

    def read(self, sample: EditSample, reply: str) -> EditSample:
        text = text_of(fields_of(reply), "instruction", _INSTRUCTION)
        return replace(noted(sample, instruction_before=sample.instruction), instruction=text)


class RecaptionSettings(ChatStepSettings):
    """Which of the captions become the sample's own."""

    length: Literal["short", "long"] = Field(
        default="short", description="short ones fit into CLIP's 77 tokens"
    )


class Recaption(TextStep):
    """Caption both pictures anew, long and short, and what the edit made (`target_local`).

    All five are kept in the provenance as `captions`; MagicBrush's CLIP-T compares with the local.
    """

    Settings = RecaptionSettings
    prompt = "recaption"
    adds = frozenset({"source_caption", "target_caption"})

    def read(self, sample: EditSample, reply: str) -> EditSample:
        fields = fields_of(reply)
        texts = {name: text_of(fields, name, words) for name, words in _CAPTIONS.items()}
        before, after = (texts[f"{side}_{self.settings.length}"] for side in ("source", "target"))
        if text_hash(before) == text_hash(after):
            raise ReplyError("both captions are the same, although the pictures differ")
        return replace(noted(sample, captions=texts), source_caption=before, target_caption=after)


class Inverse(TextStep):
    """Write the instruction that leads from the target back to the source."""

    prompt = "inverse"
    adds = frozenset({"inverse_instruction"})

    def read(self, sample: EditSample, reply: str) -> EditSample:
        text = text_of(fields_of(reply), "instruction", _INSTRUCTION)
        if text_hash(text) == text_hash(sample.instruction):
            raise ReplyError("it repeats the instruction, where its inverse was asked for")
        return replace(sample, inverse_instruction=text)


class BackwardCheck(TextStep):
    """Drop an edit whose inverse instruction does not lead from the target to the source."""

    prompt = "backward-check"

    def read(self, sample: EditSample, reply: str) -> EditSample | Drop:
        back = yes_or_no(fields_of(reply), "leads_back")
        return sample if back else Drop("the inverse edit does not restore the source")
