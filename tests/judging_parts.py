"""Judges for tests of judging, whose verdicts are fixed or set by a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from editloop.chat.settings import ChatSettings
from editloop.errors import UnavailableError
from editloop.schema import Cause, EditedPair, Score, Unscored, Verdict
from editloop.settings import Settings as BaseSettings

__all__ = ["Moody", "Plain", "ServerJudge", "Unbounded"]


class Plain:
    """A judge that gives 4 for following and nothing for preserving, and records its input."""

    class Settings(BaseSettings):
        """No settings."""

    name = "plain"
    version = "plain-1"
    perspectives = ("following", "preserving")
    asked: ClassVar[list[list[EditedPair]]] = []

    def __init__(self, settings: Plain.Settings) -> None:
        del settings

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        Plain.asked.append(list(batch))
        return [{"following": Score(4.0, True, "well done")} for _ in batch]


class Unbounded:
    """A judge whose reward is negative for following; its scale is declared if `declared`."""

    class Settings(BaseSettings):
        """Whether the scale is declared."""

        declared: bool = False

    name = "unbounded"
    version = "unbounded-1"
    perspectives = ("following", "preserving")

    def __init__(self, settings: Unbounded.Settings) -> None:
        if settings.declared:
            self.scales = {"following": (-4.0, 4.0), "preserving": (0.0, 10.0)}

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        return [{"following": Score(-2.0, False, "odd"), "preserving": Score(9.0)} for _ in batch]


class Moody:
    """A judge set by the file `mood`: `calm`, or `raises`, `busy`, `gone`, `short` for an id.

    Appends the ids of what it judged to the file `judged` beside it.
    """

    class Settings(BaseSettings):
        """The folder of the files."""

        target: Path
        perspective: str = Field(default="quality")

    name = "moody"
    version = "moody-1"

    def __init__(self, settings: Moody.Settings) -> None:
        self._folder = settings.target
        self.perspectives = (settings.perspective,)

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        mood, _, about = (self._folder / "mood").read_text().partition(" ")
        concerned = any(pair.id == about for pair in batch)
        if concerned and mood == "raises":
            raise ValueError(f"cannot bear {about}")
        if concerned and mood == "gone":
            raise UnavailableError("the server is gone")
        verdicts = [{self.perspectives[0]: self._score(pair, mood, about)} for pair in batch]
        with (self._folder / "judged").open("a") as file:
            file.writelines(f"{pair.id}\n" for pair in batch)
        return verdicts[1:] if concerned and mood == "short" else verdicts

    def _score(self, pair: EditedPair, mood: str, about: str) -> Score | Unscored:
        if mood == "busy" and pair.id == about:
            return Unscored("the server is busy", cause=Cause.TRANSIENT)
        return Score(float(len(pair.id) % 6), text="None")


class ServerJudge(Plain):
    """A judge that asks a server, and records its settings."""

    class Settings(ChatSettings):
        """A server, and the run whose budget is shared."""

        run: str | None = None

    made: ClassVar[list[ServerJudge.Settings]] = []

    def __init__(self, settings: ServerJudge.Settings) -> None:
        ServerJudge.made.append(settings)
