"""What editors get and give back: masks, reference pictures; an answer for each request."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from editloop.errors import StepError
from editloop.images.codec import decode_mask, resize
from editloop.images.shapes import is_near
from editloop.schema import Editor, EditRequest, Mask, Unedited

__all__ = ["UNSEEN", "check_answers", "mask_for", "sees"]

UNSEEN = "the instruction speaks of reference pictures, and this editor takes none"


def sees(editor: object, references: Sequence[object]) -> bool:
    """Return whether an editor takes these reference pictures, if there are any.

    Editors that take some say so: `uses_references` is true.
    """
    return not references or getattr(editor, "uses_references", False)


def mask_for(data: bytes, size: tuple[int, ...]) -> Mask | str:
    """Return a mask in a picture's (height, width), or why it is not one of it."""
    mask = decode_mask(data)
    height, width = size
    if not is_near((mask.shape[0], mask.shape[1]), (height, width)):
        return f"the mask is {mask.shape[1]}x{mask.shape[0]}, its picture {width}x{height}"
    return resize(mask, height, width)


def check_answers(
    editor: Editor,
    requests: Sequence[EditRequest],
    answers: Sequence[object],
    *,
    any_size: bool = False,
) -> None:
    """Raise StepError unless there is an answer for each request: Unedited, or uint8 pixels.

    Pixels have the size of the request's image, unless `any_size`.
    """
    if len(answers) != len(requests):
        raise StepError(
            f"editor {editor.name} returned a wrong number of answers",
            value=f"{len(answers)} answers to {len(requests)} requests",
            fix="return one picture or Unedited for each request",
        )
    for request, answer in zip(requests, answers, strict=True):
        if isinstance(answer, Unedited):
            continue
        if not isinstance(answer, np.ndarray):
            raise StepError(
                f"editor {editor.name} returned no picture for {request.id}",
                value=type(answer).__name__,
                fix="return uint8 pixels [height, width, 3], or Unedited",
            )
        due = (*answer.shape[:2], 3) if any_size else request.image.shape
        if answer.dtype != np.uint8 or answer.shape != due or not answer.size:
            raise StepError(
                f"editor {editor.name} returned a wrong shape or dtype for {request.id}",
                value=f"{answer.dtype} {answer.shape} instead of uint8 {due}",
                fix="return uint8 pixels of the request's size",
            )
