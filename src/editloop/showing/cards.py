"""Gallery cards: a case or a session, turn by turn, with each editor's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from editloop.showing.thumbnails import Picture

__all__ = ["Card", "CardTurn"]


@dataclass(frozen=True, slots=True)
class CardTurn:
    """One edit: the true source and target, then the editors' pictures.

    `earlier` are the instructions of the turns before this one.
    """

    instruction: str
    edit_type: str
    pictures: Sequence[Picture]
    earlier: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """A case or a session, turn by turn. `note` names the number by which it was chosen."""

    id: str
    turns: Sequence[CardTurn]
    note: str = ""
