"""Client of chat models, with pictures, at any OpenAI-compatible server; replies are stored.

    settings = ChatSettings(target="MODEL", base_url="http://127.0.0.1:8000/v1")
    with Chat(settings, Path("ledger.db")) as chat:
        answers = chat.ask([(question, read) for question in questions])

Calls run concurrently, up to a limit that adapts to the server; one layer retries temporary errors
and respects Retry-After. Every complete reply is stored in the ledger before it is parsed, so a
second run makes no calls. A question without an answer becomes `Failed`, with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TypeVar

from editloop.chat.budget import expected_tokens
from editloop.chat.ledger import Ledger, Reply
from editloop.chat.messages import Failed, Question
from editloop.chat.model_server import ModelServer
from editloop.chat.request_styles import RequestStyles
from editloop.chat.requests import Call
from editloop.chat.settings import ChatSettings
from editloop.chat.throttle import Timer
from editloop.chat.usage import ChatUsage

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
    """A chat model at a server, called through a ledger; can be used from any thread.

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
        styles = RequestStyles(settings)
        self._server = ModelServer(settings, ledger, run=run, timer=timer, styles=styles)

    def ask(self, asked: Sequence[tuple[Question, Callable[[Reply], _T]]]) -> list[_T | Failed]:
        """Return the answer to each question, in order, as read from the raw reply by its function.

        If that raises ReplyError, the reason is sent to the model, at most `re_asks` times.
        Raises UnavailableError if no call can succeed (no server, no such model, no valid key);
        replies received before that are in the ledger.
        """
        return self._server.ask([(Call(self.settings, each), read) for each, read in asked])

    @property
    def ledger(self) -> Ledger:
        """The replies."""
        return self._server.ledger

    @property
    def counts(self) -> ChatUsage:
        """The usage so far."""
        return self._server.counts

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
        self._server.close()

    def __enter__(self) -> Chat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
