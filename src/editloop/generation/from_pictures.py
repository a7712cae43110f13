"""The step `instruct-from-picture`: a vision model proposes edits of a photo, by edit type."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from editloop.chat.messages import ReplyError
from editloop.generation.replies import Fields, choice_of, entries_of, text_of
from editloop.generation.text_step import TextStep, several
from editloop.judges.replies import key_of
from editloop.kernel.chat_step import ChatStepSettings
from editloop.kernel.steps import Drop, Keep
from editloop.schema import EditSample, EditType, Json
from editloop.sources.hashes import text_hash

__all__ = ["InstructFromPicture", "InstructFromPictureSettings"]

_INSTRUCTION, _CAPTION = (2, 60), (3, 60)  # words


class InstructFromPictureSettings(ChatStepSettings):
    """How many edits to propose for each picture, and of which types."""

    count: int = Field(default=4, ge=1, le=50, description="instructions for each picture")
    types: tuple[EditType, ...] = Field(default=tuple(EditType), min_length=1)


class InstructFromPicture(TextStep):
    """Propose edits of the source picture, each with captions before and after: ID/1, ID/2, ...

    The model may name types that the picture does not allow; edits of these are rejected, and a
    picture that allows none is dropped. Entries that cannot be used are rejected attempts.
    """

    Settings = InstructFromPictureSettings
    prompt = "instruct-from-picture"
    adds = frozenset({"instruction", "source_caption", "target_caption", "edit_type"})

    def own_texts(self, sample: EditSample) -> Mapping[str, str]:  # noqa: ARG002
        """Return the number of edits and their types."""
        return {"count": str(self.settings.count), "types": ", ".join(self.settings.types)}

    def read(self, sample: EditSample, reply: str) -> Keep | Drop:
        holder, entries = entries_of(reply, "edits")
        unfit = _unfit(holder)
        if not entries and unfit >= {*self.settings.types}:
            return Drop("the picture allows no edit of these types")
        changes = [self._change(entry, unfit) for entry in entries]
        return several(sample, entries, changes, self.settings.count)

    def _change(self, entry: Json, unfit: frozenset[str]) -> Fields | ReplyError:
        try:
            kind = choice_of(entry, "type", self.settings.types)
            if kind in unfit:
                raise ReplyError("the picture does not allow its type")
            before, after = (text_of(entry, key, _CAPTION) for key in ("before", "after"))
            if text_hash(before) == text_hash(after):
                raise ReplyError("its captions are the same")
            return {
                "instruction": text_of(entry, "instruction", _INSTRUCTION),
                "source_caption": before,
                "target_caption": after,
                "edit_type": EditType(kind),
            }
        except ReplyError as error:
            return error


def _unfit(holder: Fields) -> frozenset[str]:
    """Return the types that the model calls unfit; ReplyError if that is not a list of types."""
    named = holder.get("unfit") or []
    types = [key_of(each) if isinstance(each, str) else "" for each in _listed(named)]
    if not {*types} <= {*EditType}:
        raise ReplyError("its 'unfit' is not a list of edit types")
    return frozenset(types)


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]
