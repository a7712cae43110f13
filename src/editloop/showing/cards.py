"""Cards of a gallery: a case or a session, turn by turn, with what each editor made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from editloop.showing.thumbnails import Picture

__all__ = ["Card", "CardTurn"]


@dataclass(frozen=True, slots=True)
class CardTurn:
    """One edit: the true source and target, then what the editors made.

    `earlier` are the instructions that the picture had to follow before this one.
    """

    instruction: str
    edit_type: str
    pictures: Sequence[Picture]
    earlier: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """A case, or a session: turn by turn what was asked, its pictures, then every editor's.

    `note` says by which number it was chosen.
    """

    id: str
    turns: Sequence[CardTurn]
    note: str = ""
