"""A spending limit that stops before it is passed: what calls in flight may cost is set aside.

A call sets aside the most it can cost: the longest reply, and more input than such a question has
ever taken. How many tokens a server counts for a picture is not known beforehand, so the first call
goes alone and sets aside the most that any is known to count; after it, the server's own counts are
the rule.
A server that counts no tokens is asked one call at a time, and each costs the most it could.

The purse lies in the ledger's file, so all processes of a run share it and a restart finds it. What
a killed process had set aside stays spent: the server may have billed it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection

from editloop.chat.messages import Message, Picture
from editloop.chat.settings import ChatSettings
from editloop.storage.small_sqlite import Database

__all__ = ["OverBudgetError", "Purse", "SetAside", "expected_tokens"]

# The most that a known server counts for a picture, of gpt-4o-mini: 2,833, and 5,667 a tile.
_PICTURE_TOKENS, _TILE_TOKENS, _TILE = 3_000, 6_000, 512  # pixels along a tile's side
_PIXELS_A_TOKEN = 750  # roughly, at most servers
_BYTES_A_TOKEN = 4  # of English
_MESSAGE_TOKENS = 8  # what a server wraps a message in
_MARGIN = 1.25  # over the largest excess seen

_TABLES = {
    # `excess`: the largest ratio of counted to expected input tokens, once one is known
    "purses": "(name TEXT PRIMARY KEY, spent REAL NOT NULL, excess REAL)",
    "set_aside": "(id INTEGER PRIMARY KEY, purse TEXT NOT NULL, cost REAL NOT NULL)",
}


class OverBudgetError(Exception):
    """A call could pass the limit, and none of ours in flight may free what it needs."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """A reservation: its row (None where there is no limit) and the input tokens expected."""

    id: int | None
    expected: int


def expected_tokens(messages: Sequence[Message]) -> int:
    """About how many tokens a server counts for these messages."""
    pictures = sum(math.prod(each.size) for each in _pictures(messages)) // _PIXELS_A_TOKEN
    return _letters(messages) // _BYTES_A_TOKEN + pictures + _MESSAGE_TOKENS * len(messages)


class Purse:
    """What a run has spent, and what calls in flight may yet cost, under a limit in USD or none."""

    def __init__(self, settings: ChatSettings, path: Path, name: str) -> None:
        self._settings = settings
        self._name = name
        self._database = Database(path, _TABLES)
        self._in_flight = 0
        self._changed = asyncio.Condition()

    async def set_aside(self, messages: Sequence[Message]) -> SetAside:
        """Reserve the most that a call may cost; waits for calls in flight where that may help.

        Raises OverBudgetError. Every reservation must be settled.
        """
        if self._settings.budget is None:
            return SetAside(None, 0)
        async with self._changed:
            while (made := self._reserve(messages)) is None:
                if not self._in_flight:
                    raise OverBudgetError
                await self._changed.wait()
            self._in_flight += 1
            return made

    async def settle(
        self, reserved: SetAside, cost: float | None, input_tokens: int | None = None
    ) -> None:
        """Replace a reservation by what was paid, and learn from the tokens that were counted.

        Where nobody knows what the server billed (None), all that was set aside is spent.
        """
        if reserved.id is None:
            return
        async with self._changed:
            self._pay(reserved.id, cost)
            if input_tokens is not None:
                self._learn(input_tokens / max(reserved.expected, 1))
            self._in_flight -= 1
            self._changed.notify_all()

    @property
    def spent(self) -> float:
        """USD that have been spent, without what is set aside."""
        rows = self._database.rows("SELECT spent FROM purses WHERE name = ?", (self._name,))
        return float(rows[0][0]) if rows else 0.0

    def close(self) -> None:
        self._database.close()

    def _reserve(self, messages: Sequence[Message]) -> SetAside | None:
        assert self._settings.budget is not None
        expected = expected_tokens(messages)
        with self._database.transaction() as file:
            spent, excess = self._standing(file)
            if excess is None and self._in_flight:
                return None
            taken = _most_tokens(messages) if excess is None else expected * excess * _MARGIN
            cost = self._settings.price(taken, self._settings.max_tokens)
            (aside,) = file.execute(
                "SELECT coalesce(sum(cost), 0) FROM set_aside WHERE purse = ?", (self._name,)
            ).fetchone()
            if spent + aside + cost > self._settings.budget:
                return None
            made = file.execute(
                "INSERT INTO set_aside (purse, cost) VALUES (?, ?)", (self._name, cost)
            )
            return SetAside(made.lastrowid, expected)

    def _standing(self, file: Connection) -> tuple[float, float | None]:
        query = "SELECT spent, excess FROM purses WHERE name = ?"
        spent, excess = file.execute(query, (self._name,)).fetchone() or (0.0, None)
        return spent, excess

    def _pay(self, reserved: int, cost: float | None) -> None:
        with self._database.transaction() as file:
            if cost is None:
                query = "SELECT cost FROM set_aside WHERE id = ?"
                (cost,) = file.execute(query, (reserved,)).fetchone()
            file.execute("DELETE FROM set_aside WHERE id = ?", (reserved,))
            file.execute(
                "INSERT INTO purses (name, spent) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET spent = spent + excluded.spent",
                (self._name, cost),
            )

    def _learn(self, excess: float) -> None:
        self._database.rows(
            "UPDATE purses SET excess = max(coalesce(excess, 0), ?) WHERE name = ?",
            (excess, self._name),
        )


def _most_tokens(messages: Sequence[Message]) -> int:
    """More tokens than any server counts: one a byte of text, and the most for each picture."""
    pictures = sum(_PICTURE_TOKENS + _TILE_TOKENS * _tiles(each) for each in _pictures(messages))
    return pictures + _letters(messages) + _MESSAGE_TOKENS * len(messages)


def _tiles(picture: Picture) -> int:
    """Tiles that cover a picture; one whose size cannot be read has at least one."""
    width, height = (max(1, math.ceil(side / _TILE)) for side in picture.size)
    return width * height


def _pictures(messages: Sequence[Message]) -> list[Picture]:
    return [part for each in messages for part in each.parts if isinstance(part, Picture)]


def _letters(messages: Sequence[Message]) -> int:
    texts = (part for each in messages for part in each.parts if isinstance(part, str))
    return sum(len(text.encode("utf-8", "replace")) for text in texts)
