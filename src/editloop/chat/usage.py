"""Usage of a server: by one chat, and by all processes of a run.

A run's counts are in the ledger's file, so they survive killed processes. An attempt is counted
before it is sent, so every attempt that reached the server is counted.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path

from editloop.storage.small_sqlite import Database

__all__ = ["ChatUsage", "RunUsage", "usage_of_run"]

_COUNTED = ("attempts", "calls", "input_tokens", "output_tokens", "cost")
_TABLES = {
    "counts": "(run TEXT PRIMARY KEY, attempts INTEGER NOT NULL, calls INTEGER NOT NULL,"
    " input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, cost REAL NOT NULL)"
}


@dataclass(slots=True)
class ChatUsage:
    """Counts so far: `calls` returned a stored reply, `found` were read from the ledger.

    `attempts` are requests sent, `re_asks` questions asked again after an unusable reply, `failed`
    questions without an answer. Tokens are counted by the server, over all replies; cost is in USD.
    """

    questions: int = 0
    found: int = 0
    calls: int = 0
    attempts: int = 0
    re_asks: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    def add(self, **more: float) -> None:
        """Add to the named counts."""
        for name, value in more.items():
            setattr(self, name, getattr(self, name) + value)

    def __add__(self, other: ChatUsage) -> ChatUsage:
        """Return the sums of both counts."""
        return ChatUsage(*map(sum, zip(astuple(self), astuple(other), strict=True)))


class RunUsage:
    """The counts of a chat, also added to those of its run, if it has one."""

    def __init__(self, path: Path, run: str | None) -> None:
        self.own = ChatUsage()
        self._run = run
        self._database = None if run is None else Database(path, _TABLES)

    def add(self, **more: float) -> None:
        """Add to the named counts; the run stores only the columns of its table."""
        self.own.add(**more)
        kept = [float(more.get(name, 0)) for name in _COUNTED]
        if self._database is not None and any(kept):
            sums = ", ".join(f"{name} = {name} + excluded.{name}" for name in _COUNTED)
            self._database.rows(
                f"INSERT INTO counts (run, {', '.join(_COUNTED)}) VALUES (?, ?, ?, ?, ?, ?) "
                f"ON CONFLICT (run) DO UPDATE SET {sums}",
                (self._run, *kept),
            )

    def close(self) -> None:
        if self._database is not None:
            self._database.close()


def usage_of_run(path: Path, run: str) -> ChatUsage:
    """Return a run's total usage from its ledger: attempts, calls, tokens and cost."""
    if not path.exists():
        return ChatUsage()
    database = Database(path, _TABLES)
    try:
        rows = database.rows(f"SELECT {', '.join(_COUNTED)} FROM counts WHERE run = ?", (run,))
    finally:
        database.close()
    return ChatUsage(**dict(zip(_COUNTED, rows[0], strict=True))) if rows else ChatUsage()
