"""The rules that turn a clause into an operation, the most specific first.

`Unclear` ends the search where a clause is understood well enough to know that the darkroom cannot
do it.
"""

from __future__ import annotations

from collections.abc import Callable

from editloop.darkroom.language import look_rules, object_rules
from editloop.darkroom.language.clauses import Clause
from editloop.darkroom.language.parsed_instruction import ParsedInstruction, Unclear

__all__ = ["decide"]

_RULES: tuple[Callable[[Clause], ParsedInstruction | None], ...] = (
    object_rules.negated,
    look_rules.background,
    object_rules.replacement,
    object_rules.addition,
    object_rules.removal,
    object_rules.motion,
    object_rules.size,
    object_rules.texture,
    object_rules.colour,
    look_rules.blur,
    look_rules.look,
)


def decide(clause: Clause) -> ParsedInstruction:
    """The operation a clause asks for; Unclear if there is none."""
    for rule in _RULES:
        asked = rule(clause)
        if asked is not None:
            return asked
    raise Unclear("the darkroom does not understand this instruction")
