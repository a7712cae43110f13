"""Parsing of a model's reply into a verdict, or into the reason why it has none.

Every field that the rubric asks for must be present and in range. Integers, numbers in strings,
`4/5`, and yes or no in words are accepted. A reply with several answers counts if they agree. Only
what follows the model's thoughts counts (`thoughts`). A reply that was cut off counts if it holds
its whole answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias, TypeVar

from editloop.chat.messages import Failed, ReplyError
from editloop.errors import FailureClass
from editloop.judges.replies import (
    LONGEST,
    DuplicateKeyError,
    field_of,
    key_of,
    objects_in,
    spans_of_objects,
)
from editloop.judges.rubrics import Choice, Rubric, Scale
from editloop.judges.thoughts import Answer, answer_in
from editloop.schema import CLEAN_TEXT, Cause, Json, Score, Unscored

__all__ = ["VERSION", "Preferred", "declines", "read_choice", "read_scores", "unscored"]

VERSION = "3"  # changes when the same reply would be parsed differently

Preferred: TypeAlias = Literal["first", "second", "tie"]

_T = TypeVar("_T")


# The causes of the codes of replies and calls; under any other code, a call failed.
_CAUSES = {
    "empty": Cause.UNPARSEABLE,
    "filtered": Cause.REFUSED,
    "out-of-range": Cause.OUT_OF_RANGE,
    "over-budget": Cause.OVER_BUDGET,
    "refused": Cause.REFUSED,
    "unparseable": Cause.UNPARSEABLE,
}
_LABELS = {Cause.TRANSIENT: "failed for now"}  # how a reason begins, if not by the cause's name
_SHOWN = 60  # characters of a wrong value that a message quotes

_NUMBER = re.compile(r"([+-]?[0-9]+(?:\.[0-9]*)?)(?:\s*(?:/|out\s+of|of)\s*([0-9]+(?:\.[0-9]+)?))?")
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_YES = re.compile(r"(yes|true|passed|pass)\b\s*([,.;:!–—-]|$)", re.IGNORECASE)
_NO = re.compile(r"(no|false|failed|fail)\b\s*([,.;:!–—-]|$)", re.IGNORECASE)
_REFUSAL = re.compile(
    r"\b(?:i[’']?m|i am) (?:very |so |really )?(?:sorry|unable|not able|not allowed)"
    r"|\bi (?:can(?:[’']?t|not| not)|won[’']?t|will not|must (?:decline|refuse)|decline|refuse)\b"
    r"|\bunable to (?:assist|help|comply|answer|judge|evaluate|rate)"
    r"|\bas an ai\b|\bagainst (?:my|our|the) (?:polic|guideline|rule)",
    re.IGNORECASE,
)
_FRAME = re.compile(r"[\s`\[\]]*(?:json)?[\s\[\]]*", re.IGNORECASE)  # around an object
_QUOTES = " \t\n\"'“”‘’"


def read_scores(
    text: str, rubric: Rubric, *, cut: bool = False, thoughts: Sequence[str] = ()
) -> dict[str, Score]:
    """Return the score of each of the rubric's perspectives, with yes or no if it asks for one.

    `cut`: the reply ended at the limit of its length. `thoughts` are further marks of thoughts.
    Raises ReplyError with the code empty, refused, unparseable or out-of-range.
    """
    scales = rubric.perspectives
    asked = [scale.value for scale in scales.values()]

    def verdict(fields: Json) -> dict[str, Score]:
        return {name: _score(name, scale, fields) for name, scale in scales.items()}

    return _read(_answer(text, rubric, thoughts, cut=cut), rubric, asked, verdict)


def read_choice(
    text: str, rubric: Rubric, *, cut: bool = False, thoughts: Sequence[str] = ()
) -> tuple[Preferred, str | None]:
    """Return the preferred one of the two pictures shown, and the words; see `read_scores`."""
    choice = rubric.preference
    assert choice is not None

    def preferred(fields: Json) -> tuple[Preferred, str | None]:
        return _choice(choice, fields), _words(choice.text, fields)

    return _read(_answer(text, rubric, thoughts, cut=cut), rubric, [choice.key], preferred)


def unscored(failed: Failed, version: str) -> Unscored:
    """Return a failed question as an unscored verdict, with its cause and the reply's key."""
    otherwise = Cause.TRANSIENT if failed.failure is FailureClass.TRANSIENT else Cause.FAILED
    cause = _CAUSES.get(failed.code, otherwise)
    label = _LABELS.get(cause, cause.value.replace("-", " "))
    return Unscored(f"{label}: {failed.message}", version, cause, failed.reply_key)


def declines(text: str) -> bool:
    """Return whether a reply declines to answer, in words."""
    return _REFUSAL.search(text) is not None


def _answer(text: str, rubric: Rubric, thoughts: Sequence[str], *, cut: bool) -> str:
    """Return the answer in a reply; raises ReplyError if there is none."""
    quoted = spans_of_objects(text) if rubric.reply == "json" else []
    answer = answer_in(text, thoughts, quoted)
    if not answer.text.strip():
        if answer.thinking:
            raise ReplyError("its thoughts are not finished", code="empty")
        cause = "nothing follows its thoughts" if answer.after_thoughts else "it is empty"
        raise ReplyError(cause, code="empty")
    if len(answer.text) > LONGEST:
        raise ReplyError(f"it has {len(answer.text)} characters")
    if not cut:
        return answer.text
    return _whole_lines(answer, rubric) if rubric.reply == "lines" else _whole_object(answer)


def _whole_object(answer: Answer) -> str:
    """Return a cut answer if its objects are whole and are not a draft in unmarked thoughts."""
    spans = spans_of_objects(answer.text)
    if not spans or answer.thinking:
        raise ReplyError("it has no whole answer")
    before, after = answer.text[: spans[0][0]], answer.text[spans[-1][1] :]
    framed = _FRAME.fullmatch(before) or _FRAME.fullmatch(after)
    if "{" in after or not (answer.after_thoughts or framed):
        raise ReplyError("it has no whole answer")
    return answer.text


def _whole_lines(answer: Answer, rubric: Rubric) -> str:
    """Return the whole lines of a cut answer, which must begin with one that was asked for."""
    text = answer.text.rpartition("\n")[0]
    first = key_of(text.strip().partition(":")[0])
    scales = rubric.perspectives.values()
    keys = [key for each in scales for key in (each.value, each.passed, each.text)]
    if rubric.preference is not None:
        keys += [rubric.preference.key, rubric.preference.text]
    known = {key_of(key) for key in keys if key}
    if answer.thinking or not (answer.after_thoughts or first in known):
        raise ReplyError("it has no whole answer")
    return text


def _read(text: str, rubric: Rubric, asked: Sequence[str], read: Callable[[Json], _T]) -> _T:
    """Return what `read` makes of the answers in a text; raises ReplyError if they differ."""
    _check_whole(text)
    answers = [read(fields) for fields in _answers(text, rubric, asked)]
    if not answers:
        if declines(text):
            raise ReplyError("it declines to answer", code="refused")
        form = "JSON object" if rubric.reply == "json" else "line"
        raise ReplyError(f"it has no {form} with {asked[0]!r}")
    if any(answer != answers[0] for answer in answers):
        raise ReplyError("it gives several answers that differ")
    return answers[0]


def _answers(text: str, rubric: Rubric, asked: Sequence[str]) -> list[Json]:
    """Return the objects or lines in a reply that have one of the fields asked for."""
    if rubric.reply == "lines":
        found: list[Json] = [_lines(text, asked)]
    else:
        try:
            found = [_unwrapped(each, asked) for each in objects_in(text)]
        except DuplicateKeyError as error:
            raise ReplyError(f"the key {str(error)!r} is given twice") from None
    return [each for each in found if any(_has(each, path) for path in asked)]


def _lines(text: str, asked: Sequence[str]) -> dict[str, Json]:
    """Return the `Name: value` lines of a reply."""
    found: dict[str, Json] = {}
    for line in text.splitlines():
        name, mark, value = line.partition(":")
        key = key_of(name)
        if not mark:
            continue
        if key in found and key in map(key_of, asked):
            raise ReplyError(f"the line {key!r} is given twice")
        found[key] = value.strip(" \t*_`")
    return found


def _unwrapped(content: Json, asked: Sequence[str]) -> Json:
    """Return the object inside objects that hold nothing else, such as `{"answer": {...}}`."""
    while not any(_has(content, path) for path in asked) and len(content) == 1:
        (inner,) = content.values()
        if not isinstance(inner, dict):
            break
        content = inner
    return content


def _has(content: Json, path: str) -> bool:
    """Return whether a field is present, even if it is null."""
    *steps, last = path.split(".")
    parent = field_of(content, ".".join(steps)) if steps else content
    if isinstance(parent, dict):
        return key_of(last) in parent
    return isinstance(parent, list) and last.isdigit() and int(last) < len(parent)


def _score(name: str, scale: Scale, fields: Json) -> Score:
    value = _number(name, field_of(fields, scale.value), scale)
    passed = None if scale.passed is None else _yes_or_no(name, field_of(fields, scale.passed))
    return Score(value, passed, _words(scale.text, fields))


def _number(name: str, given: Json, scale: Scale) -> float:
    """Return a score in the scale's range; raises ReplyError if it is not."""
    value, of = _parsed(name, given)
    limits = f"{scale.low:g}..{scale.high:g}"
    if of is not None and of != scale.high:
        raise ReplyError(
            f"{name}: {_quoted(given)} is not on the scale {limits}", code="out-of-range"
        )
    if not scale.low <= value <= scale.high:
        raise ReplyError(f"{name}: {value:.15g} is not in {limits}", code="out-of-range")
    return value + 0.0  # no negative zero


def _parsed(name: str, given: Json) -> tuple[float, float | None]:
    """Return a number and its stated maximum, if any (4 and 5 for `4/5`)."""
    if isinstance(given, float):
        return given, None
    if given is None or (isinstance(given, str) and not given.strip()):
        raise ReplyError(f"{name}: it gives no score", code="empty")
    text = given.strip(_QUOTES).rstrip(".") if isinstance(given, str) else ""
    match = _NUMBER.fullmatch(text)
    if match is not None:
        value, of = match.groups()
        return float(value), None if of is None else float(of)
    if _INFINITE.fullmatch(text):
        return math.inf, None
    raise ReplyError(f"{name}: {_quoted(given)} is not a score")


def _yes_or_no(name: str, given: Json) -> bool:
    if isinstance(given, bool):
        return given
    if isinstance(given, float) and given in (0, 1):
        return given == 1
    if isinstance(given, str):
        text = given.strip(_QUOTES)
        if _YES.match(text):
            return True
        if _NO.match(text):
            return False
    raise ReplyError(f"{name}: {_quoted(given)} is neither yes nor no")


def _choice(choice: Choice, fields: Json) -> Preferred:
    given = field_of(fields, choice.key)
    if given is None or given == "":
        raise ReplyError("it prefers nothing", code="empty")
    names: dict[str, Preferred] = {
        key_of(choice.first): "first",
        key_of(choice.second): "second",
        key_of(choice.tie): "tie",
    }
    found = names.get(key_of(given)) if isinstance(given, str) else None
    if found is None:
        raise ReplyError(f"{_quoted(given)} is none of the choices")
    return found


def _words(path: str | None, fields: Json) -> str | None:
    """Return the reply's words; a list of failures is joined, and an empty list is "None"."""
    given = None if path is None else field_of(fields, path)
    if isinstance(given, list) and all(isinstance(each, str) for each in given):
        given = "; ".join(each.strip() for each in given) or CLEAN_TEXT
    if not isinstance(given, str) or not given.strip():
        return None
    text = given.strip()
    _check_whole(text)  # escapes may have hidden it until now
    return CLEAN_TEXT if text.rstrip(".").casefold() == "none" else text


def _check_whole(text: str) -> None:
    """Raise ReplyError for a lone surrogate, which a broken stream leaves and nothing can store."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ReplyError("it holds half a character")


def _quoted(given: Json) -> str:
    return repr(given)[:_SHOWN]
