"""Clauses: the things that they name, with their adjectives, and the words around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from editloop.darkroom.language.lexicon import Unit

__all__ = ["Clause", "Thing", "read_clause"]


@dataclass(frozen=True, slots=True)
class Thing:
    """A noun with its adjectives: `definite` for "the ball", not for "a ball"; None if no article.

    `known` things are the darkroom's props; any other can only be edited with a mask.
    """

    name: str
    at: int
    start: int
    known: bool
    definite: bool | None
    colour: str | None = None
    texture: str | None = None


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause's units in order, and the things among them."""

    units: tuple[Unit, ...]
    things: tuple[Thing, ...]

    @property
    def free(self) -> Iterator[Unit]:
        """The units that belong to no thing, neither as its noun nor as an adjective."""
        taken = {at for thing in self.things for at in range(thing.start, thing.at + 1)}
        return (unit for at, unit in enumerate(self.units) if at not in taken)

    def has(self, *tags: str) -> bool:
        """Return whether a free unit has one of these tags."""
        return any(unit.tags & set(tags) for unit in self.free)

    def values(self, group: str) -> list[str]:
        """Return the values of a group among the free units, in order, without repeats."""
        found = [unit.value(group) for unit in self.free]
        return list(dict.fromkeys(value for value in found if value is not None))

    def first(self, group: str) -> str | None:
        """Return the first value of a group among the free units."""
        return next(iter(self.values(group)), None)

    @property
    def keeps(self) -> bool:
        """Whether the clause says what to keep unchanged."""
        return bool(self.units) and "keeping" in self.units[0].tags

    @property
    def unknown(self) -> list[str]:
        """The free words that are not in the vocabulary."""
        return [unit.text for unit in self.free if not unit.tags]


def read_clause(units: Sequence[Unit]) -> Clause:
    """Find a clause's things: props, and unknown nouns after an article."""
    things: list[Thing] = []
    end = 0
    for at, unit in enumerate(units):
        if at < end:
            continue
        if unit.value("kind") is not None:
            things.append(_thing(units, at, end, unit.value("kind") or ""))
            end = at + 1
        elif not unit.tags:
            last = at
            while last + 1 < len(units) and not units[last + 1].tags:
                last += 1
            if _is_head(units, at, last, end):
                name = " ".join(item.text for item in units[at : last + 1])
                things.append(_thing(units, last, end, name, first=at))
            end = last + 1
    return Clause(tuple(units), tuple(things))


def _is_head(units: Sequence[Unit], first: int, last: int, end: int) -> bool:
    """Return whether unknown words are a noun: after an article, and not describing the next."""
    follows = units[last + 1] if last + 1 < len(units) else None
    describes = follows is not None and any(
        tag.startswith(("kind:", "look:", "texture:", "hint:", "background"))
        for tag in follows.tags
    )
    start = _start(units, first, end)
    return not describes and start < first and _article(units[start]) is not None


def _thing(units: Sequence[Unit], at: int, end: int, name: str, first: int | None = None) -> Thing:
    start = _start(units, at if first is None else first, end)
    adjectives = units[start:at]
    article = _article(units[start]) if start < at else None
    return Thing(
        name,
        at,
        start,
        known=first is None,
        definite=None if article is None else article == "the",
        colour=_last(adjectives, "colour"),
        texture=_last(adjectives, "texture"),
    )


def _start(units: Sequence[Unit], at: int, end: int) -> int:
    """Return the start of a noun phrase: back over adjectives to its article."""
    start = at
    while start > end and _is_adjective(units[start - 1]):
        start -= 1
    if start > end and _article(units[start - 1]) is not None:
        return start - 1
    return start if _only_named(units[start:at]) else at


def _is_adjective(unit: Unit) -> bool:
    if _article(unit) is not None:
        return False
    return (
        unit.value("colour") is not None
        or unit.value("texture") is not None
        or bool(unit.tags & {"describing", "enlarge", "shrink", "plain"})
        or unit.value("hint") is not None
    )


def _only_named(adjectives: Sequence[Unit]) -> bool:
    """Return whether all adjectives are colours or textures, which count without an article."""
    return all(unit.value("colour") or unit.value("texture") for unit in adjectives)


def _article(unit: Unit) -> str | None:
    return unit.value("article")


def _last(units: Sequence[Unit], group: str) -> str | None:
    return next((value for unit in reversed(units) if (value := unit.value(group))), None)
