"""The judge `recorded`: verdicts made elsewhere, read from a JSON Lines file.

One verdict in each line:

    {"id": "12/1", "setting": "independent", "verdict": {"following": {"value": 4, "passed": true}}}

`setting` is optional ("independent" by default). A perspective is a number, a mapping with `value`
and optionally `passed` and `text`, or a mapping with the `reason` for a missing score.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from pydantic import Field, StrictBool, StrictFloat, StrictInt, ValidationError

from editloop.errors import RecipeError
from editloop.images.codec import content_hash
from editloop.schema import Cause, EditedPair, Json, Score, Unscored, Verdict
from editloop.settings import Settings as BaseSettings
from editloop.settings import said
from editloop.sources.scales import Scale, rescaled, suffix_of
from editloop.storage.files import explained

__all__ = ["RecordedJudge"]

_NO_LINE = Unscored("the file of verdicts has no line for this edit", cause=Cause.NO_ANSWER)


class _Perspective(BaseSettings):
    value: StrictInt | StrictFloat | None = None
    passed: StrictBool | None = None
    text: str | None = None
    reason: str | None = None
    cause: Cause = Cause.NO_ANSWER


class _Line(BaseSettings):
    id: str
    verdict: dict[str, StrictInt | StrictFloat | _Perspective]
    setting: str = "independent"


class RecordedJudge:
    """A judge that looks up verdicts by a pair's id; missing ones are unscored with the reason.

    A pair of the iterative setting has the id `ID@iterative`.
    """

    class Settings(BaseSettings):
        """The file of verdicts, and their scale."""

        target: Path = Field(description="a JSON Lines file of verdicts; may contain {editor}")
        scale: Scale | None = Field(
            default=None,
            description="lowest and highest score in the file, mapped to 0..5; left out, scores "
            "are read as they are",
        )

    name = "recorded"

    def __init__(self, settings: RecordedJudge.Settings) -> None:
        self._path = settings.target.expanduser()
        with explained("read verdicts", self._path):
            self._data = self._path.read_bytes()
        self._scale = settings.scale
        self.version = f"{content_hash(self._data)[:16]}{suffix_of(settings.scale)}"

    @cached_property
    def _verdicts(self) -> dict[str, Verdict]:
        found: dict[str, Verdict] = {}
        for number, text in enumerate(self._text.splitlines(), start=1):
            if not text.strip():
                continue
            line = self._line(number, text)
            key = line.id if line.setting == "independent" else f"{line.id}@{line.setting}"
            if key in found:
                raise self._error(number, f"it is a second verdict on {key!r}")
            found[key] = {name: self._score(each) for name, each in line.verdict.items()}
        return found

    @property
    def _text(self) -> str:
        try:
            return self._data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise self._error(
                self._data[: error.start].count(b"\n") + 1, "it is not UTF-8"
            ) from None

    @property
    def perspectives(self) -> tuple[str, ...]:
        """The perspectives that have verdicts in the file."""
        return tuple(sorted({name for verdict in self._verdicts.values() for name in verdict}))

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        """Return the recorded verdict on each pair."""
        missing: Mapping[str, Unscored] = dict.fromkeys(self.perspectives, _NO_LINE)
        return [self._verdicts.get(pair.id, missing) for pair in batch]

    def _score(self, given: float | _Perspective) -> Score | Unscored:
        score = _score(given)
        if self._scale is None or isinstance(score, Unscored):
            return score
        return rescaled(score, self._scale)

    def _line(self, number: int, text: str) -> _Line:
        try:
            content: Json = json.loads(text)
            return _Line.model_validate(content)
        except json.JSONDecodeError as error:
            raise self._error(number, f"it is not JSON: {error.msg}") from None
        except ValidationError as error:
            raise self._error(number, _describe(error)) from None

    def _error(self, number: int, cause: str) -> RecipeError:
        return RecipeError(
            f"a verdict cannot be read, line {number}: {cause}",
            value=self._path,
            fix='write {"id": ..., "verdict": {PERSPECTIVE: {"value": ...}}} in each line',
        )


def _describe(error: ValidationError) -> str:
    """Return what is wrong with a line; of a perspective, without assuming one of its forms."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    if len(place) > 2:
        return f"{place[1]}: neither a finite number nor a mapping with `value` or `reason`"
    return f"{'.'.join(place)}: {said(first)}"


def _score(given: float | _Perspective) -> Score | Unscored:
    if not isinstance(given, _Perspective):
        return Score(float(given))
    if given.value is None:
        reason = given.reason or "the file of verdicts gives no reason"
        return Unscored(reason, cause=given.cause)
    return Score(given.value, given.passed, given.text)
