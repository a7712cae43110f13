"""A spending limit that is never exceeded: the maximum cost of running calls is reserved.

A call with a fixed price reserves that. Any other reserves the most it can cost: the longest reply,
and more input than such a question has ever taken. The number of tokens that a server counts for a
picture is not known beforehand, so the first call runs alone and reserves the most that any known
server counts; after it, the server's own counts are used. If a server counts no tokens, calls run
one at a time, each at its maximum cost.

The spending is stored in the ledger's file, shared by all processes of a run and by restarts. The
reservations of a killed process stay reserved, as the server may have billed them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection

from editloop.chat.messages import Message, Picture
from editloop.chat.settings import ChatSettings, ServerSettings
from editloop.storage.small_sqlite import Database

__all__ = ["Budget", "OverBudgetError", "Reservation", "expected_tokens"]

# The largest known count for a picture is that of gpt-4o-mini: 2,833, plus 5,667 per tile.
_PICTURE_TOKENS, _TILE_TOKENS, _TILE = 3_000, 6_000, 512  # pixels along a tile's side
_PIXELS_A_TOKEN = 750  # approximately, for most servers
_BYTES_A_TOKEN = 4  # of English
_MESSAGE_TOKENS = 8  # overhead per message
_MARGIN = 1.25  # factor over the largest excess seen

_TABLES = {  # of runs and of reservations; old ledgers have these names
    # `excess`: the largest ratio of counted to expected input tokens, once one is known
    "purses": "(name TEXT PRIMARY KEY, spent REAL NOT NULL, excess REAL)",
    "set_aside": "(id INTEGER PRIMARY KEY, purse TEXT NOT NULL, cost REAL NOT NULL)",
}


class OverBudgetError(Exception):
    """A call could exceed the limit, and no running call may release enough."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation: its row (None without a limit) and the expected input tokens."""

    id: int | None
    expected: int


def expected_tokens(messages: Sequence[Message]) -> int:
    """Estimate the number of tokens that a server counts for these messages."""
    pictures = sum(math.prod(each.size) for each in _pictures(messages)) // _PIXELS_A_TOKEN
    return _letters(messages) // _BYTES_A_TOKEN + pictures + _MESSAGE_TOKENS * len(messages)


class Budget:
    """A run's spending and the reservations of running calls, with an optional limit in USD."""

    def __init__(self, settings: ServerSettings, path: Path, name: str) -> None:
        self._settings = settings
        self._name = name
        self._database = Database(path, _TABLES)
        self._in_flight = 0
        self._changed = asyncio.Condition()

    async def reserve(self, asked: Sequence[Message] | float) -> Reservation:
        """Reserve the most that a call may cost; waits for running calls if that may help.

        `asked` are the messages to a chat model, or the call's fixed price in USD. Raises
        OverBudgetError. Every reservation must be settled.
        """
        if self._settings.budget is None:
            return Reservation(None, 0)
        async with self._changed:
            while (made := self._try_to_reserve(asked)) is None:
                if not self._in_flight:
                    raise OverBudgetError
                await self._changed.wait()
            self._in_flight += 1
            return made

    async def settle(
        self, reserved: Reservation, cost: float | None, input_tokens: int | None = None
    ) -> None:
        """Replace a reservation by the actual cost, and update the estimate from counted tokens.

        If the cost is unknown (None), the whole reservation counts as spent.
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
        """The USD spent, without reservations."""
        rows = self._database.rows("SELECT spent FROM purses WHERE name = ?", (self._name,))
        return float(rows[0][0]) if rows else 0.0

    def close(self) -> None:
        self._database.close()

    def _try_to_reserve(self, asked: Sequence[Message] | float) -> Reservation | None:
        assert self._settings.budget is not None
        expected = 0 if isinstance(asked, float) else expected_tokens(asked)
        with self._database.transaction() as file:
            spent, excess = self._standing(file)
            cost = asked if isinstance(asked, float) else self._most(asked, excess, expected)
            if cost is None:
                return None
            (reserved,) = file.execute(
                "SELECT coalesce(sum(cost), 0) FROM set_aside WHERE purse = ?", (self._name,)
            ).fetchone()
            if spent + reserved + cost > self._settings.budget:
                return None
            made = file.execute(
                "INSERT INTO set_aside (purse, cost) VALUES (?, ?)", (self._name, cost)
            )
            return Reservation(made.lastrowid, expected)

    def _most(
        self, messages: Sequence[Message], excess: float | None, expected: int
    ) -> float | None:
        """Return the most USD that messages can cost; None until the first call was counted."""
        assert isinstance(self._settings, ChatSettings)
        if excess is None and self._in_flight:
            return None
        taken = _most_tokens(messages) if excess is None else expected * excess * _MARGIN
        return self._settings.price(taken, self._settings.max_tokens)

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
    """Return an upper limit of tokens: one per byte of text, and the most for each picture."""
    pictures = sum(_PICTURE_TOKENS + _TILE_TOKENS * _tiles(each) for each in _pictures(messages))
    return pictures + _letters(messages) + _MESSAGE_TOKENS * len(messages)


def _tiles(picture: Picture) -> int:
    """Return the number of tiles that cover a picture, at least 1 if its size is unknown."""
    width, height = (max(1, math.ceil(side / _TILE)) for side in picture.size)
    return width * height


def _pictures(messages: Sequence[Message]) -> list[Picture]:
    return [part for each in messages for part in each.parts if isinstance(part, Picture)]


def _letters(messages: Sequence[Message]) -> int:
    texts = (part for each in messages for part in each.parts if isinstance(part, str))
    return sum(len(text.encode("utf-8", "replace")) for text in texts)
