"""From an instruction to operations: the darkroom's own phrasings, and what people say instead.

Words become tagged units (`lexicon`), units become things and cues (`clauses`), and a short list of
rules (`grammar`) decides. An instruction that no rule understands, or that asks for two things at
once, is refused with what would have been possible.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import replace

from editloop.darkroom.asked import Asked, Unclear
from editloop.darkroom.clauses import Clause, read_clause
from editloop.darkroom.grammar import decide
from editloop.darkroom.lexicon import Unit, units, words
from editloop.darkroom.phrases import listing
from editloop.errors import InstructionError

__all__ = ["Asked", "parse"]

_STARTS = frozenset(
    {"add", "remove", "taking", "replace", "substitute", "move", "hoist", "scale", "colouring"}
    | {"beginning"}
)


def parse(instruction: str) -> tuple[Asked, ...]:
    """What an instruction asks for, clause by clause; InstructionError if it is not understood."""
    parts = _split(instruction)
    if len(parts) > 1:
        try:
            return _joined([decide(part) for part in parts])
        except Unclear:
            pass  # perhaps only the whole makes sense: "keep the cat, and blur the background"
    whole = read_clause(units(words(instruction)))
    try:
        return (decide(whole),)
    except Unclear as reason:
        raise InstructionError(
            str(reason), value=instruction, fix=_suggestion(instruction)
        ) from None


def _suggestion(instruction: str) -> str:
    """The examples most like an instruction, and where the others stand."""
    examples = [item.example for item in listing()]
    close = difflib.get_close_matches(instruction.lower(), examples, n=3, cutoff=0.0)
    return f"it can, for example: {'; '.join(close)} (`editloop operations` lists all)"


def _split(instruction: str) -> list[Clause]:
    """Clauses: cut at commas, "and" and "then", where a verb or a pronoun opens the next one."""
    pieces = re.split(r"[,;.!?]+\s+|\b(?:and then|and|then)\b", instruction, flags=re.IGNORECASE)
    merged: list[list[Unit]] = []
    for piece in pieces:
        read = units(words(piece))
        if merged and not _opens(read):
            return [read_clause(units(words(instruction)))]
        if read:
            merged.append(read)
    return [read_clause(part) for part in merged]


def _opens(part: Sequence[Unit]) -> bool:
    return not part or bool(part[0].tags & _STARTS) or part[0].text in ("it", "please", "i")


def _joined(asked: Sequence[Asked]) -> tuple[Asked, ...]:
    """Clauses in a row: "it" is the last one's object, and a thing said twice is said once."""
    joined: list[Asked] = []
    for item in asked:
        last = joined[-1] if joined else None
        means_last = item.object == "" and last is not None and last.object
        new = replace(item, object=means_last) if means_last else item
        if last is not None and (new.operation, new.object) == (last.operation, last.object):
            joined[-1] = replace(new, parameters={**last.parameters, **new.parameters})
        else:
            joined.append(new)
    return tuple(joined)
