"""The editor `copy`, which changes nothing: the lower bound of every comparison."""

from __future__ import annotations

from collections.abc import Sequence

from editloop.schema import EditRequest, Pixels, Unedited
from editloop.settings import Settings as BaseSettings

__all__ = ["CopyEditor", "CopySettings"]


class CopySettings(BaseSettings):
    """The settings of this editor: none."""


class CopyEditor:
    """An editor that returns every picture unchanged."""

    Settings = CopySettings
    name = "copy"
    fingerprint = "copy-1"
    uses_references = True  # whatever it is asked with, the answer is the same

    def __init__(self, settings: CopySettings) -> None:
        self._settings = settings

    def edit(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        """Return the pictures of the requests."""
        return [request.image for request in requests]
