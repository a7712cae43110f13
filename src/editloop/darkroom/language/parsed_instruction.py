"""The result of parsing an instruction, and the exception for one that cannot be executed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from editloop.schema import Json

__all__ = ["NO_WAY_BACK", "TWO_THINGS", "ParsedInstruction", "Unclear"]

NO_WAY_BACK = "the darkroom cannot take a look out of a picture: go back a turn instead"
TWO_THINGS = "the instruction asks for two things at once: say them one after the other"


@dataclass(frozen=True, slots=True)
class ParsedInstruction:
    """An operation with the parameters stated in the instruction.

    `object` is the noun to edit, "" for "it", None if the operation has no object. `near` is an
    unknown thing beside which a new object is wanted.
    """

    operation: str
    parameters: Mapping[str, Json] = field(default_factory=dict)
    object: str | None = None
    near: str | None = None


class Unclear(Exception):  # noqa: N818 - a result, not an error
    """Raised for a clause that the darkroom cannot execute; the message gives the reason."""
