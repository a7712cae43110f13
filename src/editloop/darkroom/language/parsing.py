"""Parsing of instructions into operations: the darkroom's own phrases, and free wordings.

Words become tagged units (`lexicon`), units become things and cues (`clauses`), and an ordered list
of rules (`grammar`) picks the operation. An instruction that no rule matches, or that asks for two
things at once, is refused with examples of possible instructions.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import replace

from editloop.darkroom.language.clauses import Clause, read_clause
from editloop.darkroom.language.grammar import decide
from editloop.darkroom.language.lexicon import Unit, units, words
from editloop.darkroom.language.parsed_instruction import ParsedInstruction, Unclear
from editloop.darkroom.language.phrases import listing
from editloop.errors import InstructionError

__all__ = ["parse"]

_STARTS = frozenset(
    {"add", "remove", "taking", "replace", "substitute", "move", "hoist", "scale", "colouring"}
    | {"beginning"}
)


def parse(instruction: str) -> tuple[ParsedInstruction, ...]:
    """Parse an instruction clause by clause; raise InstructionError if it is not understood."""
    parts = _split(instruction)
    try:
        if len(parts) > 1 and (asked := _each(parts)):
            return _joined(asked)
        return (decide(read_clause(units(words(instruction)))),)
    except Unclear as reason:
        raise InstructionError(
            str(reason), value=instruction, fix=_suggestion(instruction)
        ) from None


def _each(parts: Sequence[Clause]) -> list[ParsedInstruction]:
    """Parse each clause on its own; return an empty list if only the whole can be parsed.

    This is so for "the picture is too dark, brighten it" and "keep the cat and blur the
    background". A clause with unknown words is not ignored: Unclear is raised.
    """
    asked = []
    whole = False
    for part in parts:
        try:
            asked.append(decide(part))
        except Unclear:
            if not part.keeps and (part.unknown or any(not thing.known for thing in part.things)):
                raise
            whole = True
    return [] if whole else asked


def _suggestion(instruction: str) -> str:
    """Return the examples most similar to an instruction, and the command that lists all."""
    examples = [item.example for item in listing()]
    close = difflib.get_close_matches(instruction.lower(), examples, n=3, cutoff=0.0)
    return f"it can, for example: {'; '.join(close)} (`editloop operations` lists all)"


_CUT = re.compile(r"([,;.!?]+\s+|\b(?:and then|and|then)\b)", re.IGNORECASE)


def _split(instruction: str) -> list[Clause]:
    """Split at commas, "and" and "then" if a verb or a pronoun starts the next clause."""
    first, *rest = _CUT.split(instruction)
    pieces = [first]
    for joint, piece in zip(rest[::2], rest[1::2], strict=True):
        if _opens(units(words(piece))):
            pieces.append(piece)
        else:
            pieces[-1] += joint + piece
    read = [units(words(piece)) for piece in pieces]
    return [read_clause(part) for part in read if part]


def _opens(part: Sequence[Unit]) -> bool:
    return bool(part) and bool(part[0].tags & _STARTS)


def _joined(asked: Sequence[ParsedInstruction]) -> tuple[ParsedInstruction, ...]:
    """Join consecutive clauses: "it" is the previous object, and a repeated operation is merged."""
    joined: list[ParsedInstruction] = []
    for item in asked:
        last = joined[-1] if joined else None
        means_last = item.object == "" and last is not None and last.object
        new = replace(item, object=means_last) if means_last else item
        if last is not None and (new.operation, new.object) == (last.operation, last.object):
            joined[-1] = replace(new, parameters={**last.parameters, **new.parameters})
        else:
            joined.append(new)
    return tuple(joined)
