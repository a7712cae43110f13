"""RewardEdit-20K's JSON (arXiv:2411.04713): reading its rewards as verdicts, and writing it.

    {"0036161": [{"Score": 2, "Negative Prompt": "the sky was not changed"}, {...}, {...}]}

A key is a triplet's folder in InstructPix2Pix's filtered set (the layout `instruct-pix2pix`), or a
sample's id. Its three objects are following, preserving and quality, in this order. The paper's
training joins the three texts with "; ".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import Field

from editloop.errors import RecipeError
from editloop.schema import (
    CLEAN_TEXT,
    OUT_OF_FIVE,
    PERSPECTIVES,
    Cause,
    EditedPair,
    EditSample,
    Json,
    Score,
    Unscored,
    Verdict,
)
from editloop.settings import Settings as BaseSettings
from editloop.sources.entries import Problem, read_json
from editloop.sources.scales import REWARDS, Scale, number_of, rescaled, suffix_of
from editloop.storage.files import Files, NewFile, explained, file_hash, temporary

__all__ = ["Exported", "RewardEditJudge", "write_reward_edit"]

_SCORE, _TEXT = "Score", "Negative Prompt"


class RewardEditJudge:
    """A judge that looks up rewards by a pair's id; missing ones are unscored with the reason."""

    class Settings(BaseSettings):
        """The file of rewards, and their scale."""

        target: Path = Field(description="a JSON file in the form of RewardEdit_20K.json")
        scale: Scale = Field(
            default=REWARDS, description="lowest and highest reward in the file, mapped to 0..5"
        )

    name = "reward-edit"
    perspectives = PERSPECTIVES
    scales = OUT_OF_FIVE

    def __init__(self, settings: RewardEditJudge.Settings) -> None:
        self._path = settings.target.expanduser()
        with explained("read rewards", self._path):
            self.version = f"{file_hash(Files(), self._path)[:16]}{suffix_of(settings.scale)}"
        self._scale = settings.scale

    @cached_property
    def _rewards(self) -> Mapping[str, Json]:
        content = read_json(self._path)
        if not isinstance(content, dict):
            cause = content.cause if isinstance(content, Problem) else "it is not a JSON object"
            raise RecipeError(
                f"a file of rewards cannot be read: {cause}",
                value=self._path,
                fix='write {KEY: [{"Score": 5, "Negative Prompt": "None"}, ...], ...}',
            )
        return content

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        """Return the rewards of each pair."""
        return [_verdict(self._rewards.get(pair.id), self._scale) for pair in batch]


def _verdict(given: Json, scale: tuple[float, float]) -> dict[str, Score | Unscored]:
    if given is None:
        return dict.fromkeys(
            PERSPECTIVES, Unscored("the file has no rewards for this edit", cause=Cause.NO_ANSWER)
        )
    if not isinstance(given, list) or len(given) != len(PERSPECTIVES):
        return dict.fromkeys(
            PERSPECTIVES,
            Unscored("unparseable: it is not a list of three rewards", cause=Cause.UNPARSEABLE),
        )
    return {name: _score(each, scale) for name, each in zip(PERSPECTIVES, given, strict=True)}


def _score(given: Json, scale: tuple[float, float]) -> Score | Unscored:
    if not isinstance(given, dict):
        return Unscored("unparseable: the reward is not an object", cause=Cause.UNPARSEABLE)
    text, value = given.get(_TEXT), number_of(given.get(_SCORE))
    if value is None:
        return Unscored(
            f"unparseable: {given.get(_SCORE)!r} is not a score", cause=Cause.UNPARSEABLE
        )
    words = text.strip() or None if isinstance(text, str) else None
    return rescaled(Score(value, text=words), scale)


@dataclass(frozen=True, slots=True)
class Exported:
    """The numbers of samples written, and of samples left out because a score is missing."""

    written: int
    left_out: int


def write_reward_edit(samples: Iterable[EditSample], path: Path) -> Exported:
    """Write the rewards of samples that have all three, keyed by sample id, in their order."""
    files = Files()
    written = left_out = 0
    with explained("write rewards", path):
        files.make_folder(path.parent)
        new = NewFile(files, temporary(path))
        try:
            for sample in samples:
                rewards = _rewards_of(sample)
                if rewards is None:
                    left_out += 1
                    continue
                new.write(f"{',' if written else '{'}\n{_line(sample.id, rewards)}".encode())
                written += 1
            new.write(b"\n}\n" if written else b"{}\n")
            new.finish()
        finally:
            new.close()
        files.rename(new.path, path)
    return Exported(written, left_out)


def _rewards_of(sample: EditSample) -> list[Json] | None:
    scores = [sample.scores.get(name) for name in PERSPECTIVES]
    found = [score for score in scores if isinstance(score, Score)]
    if len(found) < len(PERSPECTIVES):
        return None
    return [{_SCORE: _plain(score.value), _TEXT: score.text or CLEAN_TEXT} for score in found]


def _plain(value: float) -> float | int:
    return int(value) if value.is_integer() else value


def _line(key: str, rewards: list[Json]) -> str:
    written = json.dumps(rewards, ensure_ascii=False, allow_nan=False)
    return f"{json.dumps(key, ensure_ascii=False)}: {written}"
