"""Ask chat models, with pictures, over any OpenAI-compatible server: each reply is paid once.

    settings = ChatSettings(target="MODEL", base_url="http://127.0.0.1:8000/v1")
    with Chat(settings, Path("ledger.db")) as chat:
        answers = chat.ask(questions, read)

Many calls are in flight, as many as the server bears; one layer retries what may pass, and waits
where the server says so. Every whole reply goes into the ledger before it is read, so reading is
replayed from there and a second run asks nothing. What could not be had is `Failed`, with a reason.
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
from editloop.chat.budget import Purse, expected_tokens
from editloop.chat.in_flight import CallsInFlight
from editloop.chat.ledger import Ledger
from editloop.chat.messages import Failed, Question
from editloop.chat.requests import Call
from editloop.chat.settings import ChatSettings
from editloop.chat.throttle import Timer
from editloop.chat.usage import ChatUsage, RunUsage

__all__ = ["Chat", "CostEstimate"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What asking would do: replies found and calls to make, and about what these would take.

    `output_tokens`, and so `cost` (USD), are the most that may come if nothing is asked again.
    """

    found: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: CostEstimate) -> CostEstimate:
        """What both together would do."""
        return CostEstimate(*map(sum, zip(astuple(self), astuple(other), strict=True)))


class Chat:
    """One model at one server, asked through a ledger; it may be used from any thread.

    Chats of the same `run` share one budget and one count, in any process and after a restart;
    without a name a chat has its own. No connection is made before the first question; `close`, the
    end of a `with` or of the object itself closes them for good.
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

    def ask(self, questions: Sequence[Question], read: Callable[[str], _T]) -> list[_T | Failed]:
        """The answer to each question, in order, as `read` makes it of the raw reply.

        Where `read` raises ReplyError, the model is told why and asked again, `re_asks` times.
        Raises UnavailableError where no call can succeed (no server, no such model, no valid key);
        what was answered until then is in the ledger.
        """
        opened = self._opened()
        return opened.background.run(lambda: opened.asking.ask(questions, read))

    @property
    def counts(self) -> ChatUsage:
        """What was done so far."""
        return ChatUsage() if self._open is None else replace(self._open.asking.counts)

    def plan(self, questions: Sequence[Question]) -> CostEstimate:
        """What `ask` would do with these questions; it asks nothing."""
        calls = {call.key: call for call in (Call(self.settings, each) for each in questions)}
        missing = [call for key, call in calls.items() if self.ledger.find(key) is None]
        read = sum(expected_tokens(call.question.messages) for call in missing)
        written = len(missing) * self.settings.max_tokens
        found = len(questions) - len(missing)
        return CostEstimate(found, len(missing), read, written, self.settings.price(read, written))

    def close(self) -> None:
        """Close the connections; whoever asks after that is refused."""
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
                purse = Purse(self.settings, path, self._run or uuid4().hex)
                counts = RunUsage(path, self._run)
                asking = CallsInFlight(self.settings, self.ledger, purse, counts, self._timer)
                self._open = _Open(Background(), asking)
                weakref.finalize(self, self._open.close)
            return self._open


@dataclass(frozen=True, slots=True)
class _Open:
    """What a chat holds open, apart from it, so that it can be closed when the chat is gone."""

    background: Background
    asking: CallsInFlight

    def close(self) -> None:
        self.background.close(self.asking.close)
