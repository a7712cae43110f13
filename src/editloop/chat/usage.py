"""What was asked of a server: by one chat, and by a whole run in all its processes.

A run's counts lie in the ledger's file, where a killed process leaves what it had counted. An
attempt is counted before it is sent, so none that the server saw is missing.
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
    """What was done so far: `calls` brought a reply that is kept, `found` came from the ledger.

    `attempts` are requests sent, `re_asks` questions put again after an unusable reply, `failed`
    questions without an answer. Tokens and cost (USD) are what the server counted in any reply.
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
        """Count more of the fields named."""
        for name, value in more.items():
            setattr(self, name, getattr(self, name) + value)

    def __add__(self, other: ChatUsage) -> ChatUsage:
        """The counts of both together."""
        return ChatUsage(*map(sum, zip(astuple(self), astuple(other), strict=True)))


class RunUsage:
    """A chat's counts, which its run's grow with; without a run they are the chat's alone."""

    def __init__(self, path: Path, run: str | None) -> None:
        self.own = ChatUsage()
        self._run = run
        self._database = None if run is None else Database(path, _TABLES)

    def add(self, **more: float) -> None:
        """Count more of the fields named; of what costs nothing a run keeps none."""
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
    """What a run has asked through a ledger since it began: attempts, calls and their cost."""
    if not path.exists():
        return ChatUsage()
    database = Database(path, _TABLES)
    try:
        rows = database.rows(f"SELECT {', '.join(_COUNTED)} FROM counts WHERE run = ?", (run,))
    finally:
        database.close()
    return ChatUsage(**dict(zip(_COUNTED, rows[0], strict=True))) if rows else ChatUsage()
