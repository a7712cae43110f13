"""What an instruction comes down to, and the answer where it comes down to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from editloop.schema import Json

__all__ = ["NO_WAY_BACK", "TWO_THINGS", "ParsedInstruction", "Unclear"]

NO_WAY_BACK = "the darkroom cannot take a look out of a picture: go back a turn instead"
TWO_THINGS = "the instruction asks for two things at once: say them one after the other"


@dataclass(frozen=True, slots=True)
class ParsedInstruction:
    """An operation with the parameters that were said.

    `object` is what it is done to: a noun, "" for "it", None where an operation has no object.
    `near` is an unknown thing beside which something new is wanted.
    """

    operation: str
    parameters: Mapping[str, Json] = field(default_factory=dict)
    object: str | None = None
    near: str | None = None


class Unclear(Exception):  # noqa: N818 - it is an answer, not an error
    """A clause asks for nothing that the darkroom can do; the text says why."""
