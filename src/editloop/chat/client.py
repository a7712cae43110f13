"""Client of chat models, with pictures, at any OpenAI-compatible server; replies are stored.

    settings = ChatSettings(target="MODEL", base_url="http://127.0.0.1:8000/v1")
    with Chat(settings, Path("ledger.db")) as chat:
        answers = chat.ask([(question, read) for question in questions])

Calls run concurrently, up to a limit that adapts to the server; one layer retries temporary errors
and respects Retry-After. Every complete reply is stored in the ledger before it is parsed, so a
second run makes no calls. A question without an answer becomes `Failed`, with a reason.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TypeVar
from uuid import uuid4

from editloop.chat.background import Background
from editloop.chat.budget import Budget, expected_tokens
from editloop.chat.in_flight import CallsInFlight
from editloop.chat.ledger import Ledger, Reply
from editloop.chat.messages import Failed, Question
from editloop.chat.requests import Call
from editloop.chat.settings import ChatSettings
from editloop.chat.throttle import Timer
from editloop.chat.usage import ChatUsage, RunUsage

__all__ = ["Chat", "CostEstimate"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """An estimate of `ask`: replies found in the ledger, calls to make, their tokens and cost.

    `output_tokens`, and so `cost` (USD), are upper limits if nothing is asked again.
    """

    found: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: CostEstimate) -> CostEstimate:
        """Return the sum of both estimates."""
        return CostEstimate(*map(sum, zip(astuple(self), astuple(other), strict=True)))


class Chat:
    """A model at a server, called through a ledger; can be used from any thread.

    Chats with the same `run` share one budget and one usage count, in any process and after a
    restart; without it, a chat has its own. Connections are opened by the first question and closed
    by `close`, by leaving a `with` block, or when the object is deleted.
    """

    def __init__(
        self,
        settings: ChatSettings,
        ledger: Ledger | Path,
        *,
        run: str | None = None,
        timer: Timer | None = None,
    ) -> None:
        self.settings = settings
        self.ledger = ledger if isinstance(ledger, Ledger) else Ledger(ledger)
        self._run = run
        self._timer = timer or Timer()
        self._lock = Lock()
        self._open: _Open | None = None

    def ask(self, asked: Sequence[tuple[Question, Callable[[Reply], _T]]]) -> list[_T | Failed]:
        """Return the answer to each question, in order, as read from the raw reply by its function.

        If that raises ReplyError, the reason is sent to the model, at most `re_asks` times.
        Raises UnavailableError if no call can succeed (no server, no such model, no valid key);
        replies received before that are in the ledger.
        """
        opened = self._opened()
        return opened.background.run(lambda: opened.calls.ask(asked))

    @property
    def counts(self) -> ChatUsage:
        """The usage so far."""
        return ChatUsage() if self._open is None else replace(self._open.calls.counts)

    def estimate(self, questions: Sequence[Question]) -> CostEstimate:
        """Estimate the calls and cost of `ask` with these questions, without asking."""
        calls = {call.key: call for call in (Call(self.settings, each) for each in questions)}
        missing = [call for key, call in calls.items() if self.ledger.find(key) is None]
        read = sum(expected_tokens(call.question.messages) for call in missing)
        written = len(missing) * self.settings.max_tokens
        found = len(questions) - len(missing)
        return CostEstimate(found, len(missing), read, written, self.settings.price(read, written))

    def close(self) -> None:
        """Close the connections; asking after that raises RuntimeError."""
        if self._open is not None:
            self._open.close()
        self.ledger.close()

    def __enter__(self) -> Chat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened(self) -> _Open:
        with self._lock:
            if self._open is None:
                path = self.ledger.path
                budget = Budget(self.settings, path, self._run or uuid4().hex)
                counts = RunUsage(path, self._run)
                calls = CallsInFlight(self.settings, self.ledger, budget, counts, self._timer)
                self._open = _Open(Background(), calls)
                weakref.finalize(self, self._open.close)
            return self._open


@dataclass(frozen=True, slots=True)
class _Open:
    """A chat's open resources, kept separately so a finaliser can close them."""

    background: Background
    calls: CallsInFlight

    def close(self) -> None:
        self.background.close(self.calls.close)
