"""One model at a server, called through the ledger; what all clients of this room share."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TypeVar
from uuid import uuid4

from editloop.chat.background import Background
from editloop.chat.budget import Budget
from editloop.chat.in_flight import CallsInFlight
from editloop.chat.ledger import Ledger, Reply
from editloop.chat.messages import Failed
from editloop.chat.request_styles import RequestStyles
from editloop.chat.server_calls import ServerCall
from editloop.chat.settings import ServerSettings
from editloop.chat.throttle import Timer
from editloop.chat.usage import ChatUsage, RunUsage

__all__ = ["ModelServer"]

_T = TypeVar("_T")


class ModelServer:
    """A model at a server, called through a ledger; can be used from any thread.

    Objects with the same `run` share one budget and one usage count, in any process and after a
    restart; without it, one has its own. Connections are opened by the first call and closed by
    `close`, or when the object is deleted.
    """

    def __init__(
        self,
        settings: ServerSettings,
        ledger: Ledger | Path,
        *,
        run: str | None = None,
        timer: Timer | None = None,
        styles: RequestStyles | None = None,
    ) -> None:
        self.settings = settings
        self.ledger = ledger if isinstance(ledger, Ledger) else Ledger(ledger)
        self._run = run
        self._timer = timer or Timer()
        self._styles = styles or RequestStyles()
        self._lock = Lock()
        self._open: _Open | None = None

    def ask(self, asked: Sequence[tuple[ServerCall, Callable[[Reply], _T]]]) -> list[_T | Failed]:
        """Return the answer to each call, in order, as read from the raw reply by its function.

        Raises UnavailableError if no call can succeed (no server, no such model, no valid key);
        replies received before that are in the ledger.
        """
        opened = self._opened()
        return opened.background.run(lambda: opened.calls.ask(asked))

    @property
    def counts(self) -> ChatUsage:
        """The usage so far."""
        return ChatUsage() if self._open is None else replace(self._open.calls.counts)

    def close(self) -> None:
        """Close the connections; asking after that raises RuntimeError."""
        if self._open is not None:
            self._open.close()
        self.ledger.close()

    def _opened(self) -> _Open:
        with self._lock:
            if self._open is None:
                path = self.ledger.path
                budget = Budget(self.settings, path, self._run or uuid4().hex)
                calls = CallsInFlight(
                    self.settings,
                    self.ledger,
                    budget,
                    RunUsage(path, self._run),
                    self._timer,
                    styles=self._styles,
                )
                self._open = _Open(Background(), calls)
                weakref.finalize(self, self._open.close)
            return self._open


@dataclass(frozen=True, slots=True)
class _Open:
    """The open resources, kept separately so a finaliser can close them."""

    background: Background
    calls: CallsInFlight

    def close(self) -> None:
        self.background.close(self.calls.close)
