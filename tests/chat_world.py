"""Helpers for tests of the chat client: a fake server that adds, and a simulated clock."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from editloop.chat.client import Chat
from editloop.chat.fake.faults import Fault, Schedule, in_order
from editloop.chat.fake.request import FakeRequest
from editloop.chat.fake.server import Answers, FakeServer, FakeSettings
from editloop.chat.messages import Failed, Message, Question, ReplyError
from editloop.chat.settings import ChatSettings
from editloop.chat.throttle import Timer

SCHEMA = {
    "type": "object",
    "properties": {"sum": {"type": "integer"}},
    "required": ["sum"],
    "additionalProperties": False,
}

_T = TypeVar("_T")


class FlyingTimer(Timer):
    """A timer whose sleeps take no time, are recorded, and advance the clock."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._now = 0.0

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._now += seconds
        await asyncio.sleep(0)


def add(asked: FakeRequest) -> str:
    """Return the sum requested by the first text, as JSON."""
    numbers = re.findall(r"\d+", next(text for text in asked.texts if text.startswith("Add")))
    return json.dumps({"sum": sum(map(int, numbers))})


def question(index: int, **fields: Any) -> Question:
    return Question(f"q{index}", (Message("user", (f"Add {index} and 1.",)),), **fields)


def read_sum(text: str) -> int:
    """Return the sum in a reply; raises ReplyError if there is none."""
    try:
        return int(json.loads(text)["sum"])
    except (ValueError, KeyError, TypeError):
        raise ReplyError("it has no sum") from None


def ask(chat: Chat, questions: Sequence[Question], read: Callable[[str], _T]) -> list[_T | Failed]:
    """Ask questions whose replies are all read by one function."""
    return chat.ask([(each, lambda reply: read(reply.text)) for each in questions])


class World:
    """A server, a ledger, and chats with this server and ledger."""

    def __init__(self, server: FakeServer, folder: Path) -> None:
        self.server = server
        self.timer = FlyingTimer()
        self.ledger = folder / "ledger.db"
        self._chats: list[Chat] = []

    def chat(self, run: str | None = None, **settings: Any) -> Chat:
        given = {"target": "adder", "base_url": self.server.base_url, "timeout": 5.0, **settings}
        made = Chat(ChatSettings(**given), self.ledger, run=run, timer=self.timer)
        self._chats.append(made)
        return made

    def close(self) -> None:
        for chat in self._chats:
            chat.close()


@contextmanager
def world(
    folder: Path,
    *faults: Fault | None,
    answers: Answers = add,
    schedule: Schedule | None = None,
    **settings: Any,
) -> Iterator[World]:
    """A world whose server has these faults in order, or those of a schedule."""
    made = FakeSettings(**settings)
    with FakeServer(answers, faults=schedule or in_order(*faults), settings=made) as server:
        here = World(server, folder)
        try:
            yield here
        finally:
            here.close()
