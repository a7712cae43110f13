"""The turns of a session: each goes on from the previous result at the editor's working size.

Scaling a result to the picture's size, and down again for the next turn, would blur a session a
little more at each turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from editloop.schema import Editor, EditRequest, Pixels, Unedited

__all__ = ["UnscaledEditor", "edit_unscaled", "scaled_back"]


@runtime_checkable
class UnscaledEditor(Protocol):
    """An editor that works at a size of its own, and can return its results at that size.

    The image of a `fitted` request is such a result.
    """

    def edit_unscaled(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        """Return an edit of each request, in the working size."""
        ...

    def scaled_back(self, edited: Pixels, request: EditRequest) -> Pixels:
        """Return a result of `edit_unscaled` at the size of a request's image."""
        ...


def edit_unscaled(editor: Editor, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
    """Return an edit of each request, in the editor's working size if it has one."""
    if isinstance(editor, UnscaledEditor):
        return editor.edit_unscaled(requests)
    return editor.edit(requests)


def scaled_back(editor: Editor, edited: Pixels, request: EditRequest) -> Pixels:
    """Return a result of `edit_unscaled` at the size of the image of a session's first request."""
    if isinstance(editor, UnscaledEditor):
        return editor.scaled_back(edited, request)
    return edited
