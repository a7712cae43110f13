"""The ordered rules that turn a clause into an operation, most specific first.

A rule raises `Unclear` to stop the search if it understands that the darkroom cannot do what the
clause asks for.
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
    """Return the operation that a clause asks for; raise Unclear if there is none."""
    for rule in _RULES:
        asked = rule(clause)
        if asked is not None:
            return asked
    raise Unclear("the darkroom does not understand this instruction")
