"""What an editor tells of a picture beside its pixels, for the picture's provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from editloop.editors.requests import check_answers
from editloop.kernel.steps import Drop, Fail
from editloop.schema import Editor, EditRequest, Json, Pixels, Unedited

__all__ = ["Edited", "RecordingEditor", "edit_recorded", "not_made"]


@dataclass(frozen=True, slots=True, eq=False)
class Edited:
    """An edited picture and what is recorded of it; `cost` in the record is in USD."""

    pixels: Pixels
    record: Mapping[str, Json] = field(default_factory=dict)


@runtime_checkable
class RecordingEditor(Protocol):
    """An editor that records how each of its pictures was made."""

    def edit_recorded(self, requests: Sequence[EditRequest]) -> list[Edited | Unedited]:
        """Return a picture with its record for each request, or the reason why there is none."""
        ...


def edit_recorded(editor: Editor, requests: Sequence[EditRequest]) -> list[Edited | Unedited]:
    """Return an edit of each request, with a record if the editor gives one.

    Raises StepError where the editor returns a wrong number of answers or something other than a
    picture of the request's size.
    """
    if not isinstance(editor, RecordingEditor):
        answers = editor.edit(requests)
        check_answers(editor, requests, answers)
        return [each if isinstance(each, Unedited) else Edited(each) for each in answers]
    made = editor.edit_recorded(requests)
    pictures = [each.pixels if isinstance(each, Edited) else each for each in made]
    check_answers(editor, requests, pictures)
    return made


def not_made(answer: Unedited) -> Drop | Fail:
    """Return a step's outcome for a picture that was not made."""
    if answer.failure is None:
        return Drop(answer.reason)
    return Fail(answer.code, answer.failure, answer.reason, reply_key=answer.reply_key)
