"""From an instruction to operations: the darkroom's own phrasings, and what people say instead.

Words become tagged units (`lexicon`), units become things and cues (`clauses`), and a short list of
rules (`grammar`) decides. An instruction that no rule understands, or that asks for two things at
once, is refused with what would have been possible.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from editloop.darkroom.clauses import Clause, read_clause
from editloop.darkroom.grammar import Asked, Unclear, decide
from editloop.darkroom.lexicon import Unit, units, words
from editloop.errors import InstructionError

__all__ = ["Asked", "parse"]

_STARTS = frozenset(
    {"add", "remove", "taking", "replace", "substitute", "move", "hoist", "scale", "colouring"}
    | {"beginning"}
)
_HELP = (
    "ask for a look (sepia, night, snow, oil painting, ...), for a prop (add a red ball on the "
    "left), or for a change of an object; `editloop operations` lists all"
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
        raise InstructionError(str(reason), value=instruction, fix=_HELP) from None


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
    """Clauses in a row: "it" is the last one's object, and saying a thing twice is saying it once."""
    joined: list[Asked] = []
    for item in asked:
        last = joined[-1] if joined else None
        if item.object == "" and last is not None and last.object:
            item = replace(item, object=last.object)
        if last is not None and (item.operation, item.object) == (last.operation, last.object):
            joined[-1] = replace(item, parameters={**last.parameters, **item.parameters})
        else:
            joined.append(item)
    return tuple(joined)
