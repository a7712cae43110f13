"""The seconds that a server asks to wait, from its headers and the body of its refusal.

Servers write them as seconds, milliseconds, durations (`1m2.5s`), dates or times since the epoch;
in Retry-After, in headers of rate limits, in a field such as Google's `retryDelay`, or in words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from editloop.schema import Json

__all__ = ["seconds_to_wait"]

_HEADERS = ("retry-after-ms", "retry-after")
_FIELDS = {"retryafter", "retryaftersec", "retryafterseconds", "retryafterms", "retrydelay"}
_RESETS = re.compile(r"(?:^|-)ratelimit-(?:.*-)?reset(?:-|$)")
_WORDS = re.compile(
    r"(?:try again|retry|wait)(?: (?:again|after|in|for|at least))*:? +"
    r"(\d[\d.]* ?(?:[a-z]+)(?: ?\d[\d.]* ?[a-z]+)*)",
    re.IGNORECASE,
)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(
    r"(\d+(?:\.\d+)?) ?(ms|[smhd])(?:ec(?:ond)?s?|illiseconds?|in(?:ute)?s?|ours?|ays?)?(?![a-z])"
)
_DURATION = re.compile(rf"(?:{_PART.pattern} ?)+")
_EPOCH = 1e9  # larger numbers are seconds since 1970
_EPOCH_MS = 1e12  # and larger ones milliseconds since 1970


def seconds_to_wait(headers: Mapping[str, str], body: Json, words: str) -> float | None:
    """Return the seconds that a refusal asks to wait, or None if it states none.

    The server's own Retry-After counts first, then a field of the body, then its words, then the
    latest reset among the headers of its rate limits.
    """
    named = ((name, headers.get(name)) for name in _HEADERS)
    for name, value in (*named, *_fields(body)):
        if value is not None and (seconds := _seconds(value, name.endswith("ms"))) is not None:
            return seconds
    if found := _WORDS.search(words):
        return _duration(found[1].lower())
    resets = [_seconds(text, name.endswith("-ms")) for name, text in _limits(headers, body)]
    return max((each for each in resets if each is not None), default=None)


def _limits(headers: Mapping[str, str], body: Json) -> Iterator[tuple[str, Json]]:
    """Yield the resets of rate limits; OpenRouter puts the headers into the body."""
    spent = [name for name, each in headers.items() if "remaining" in name and each == "0"]
    for name, each in headers.items():
        limit = name.lower().replace("-reset", "-remaining")
        if _RESETS.search(name.lower()) and (not spent or limit in map(str.lower, spent)):
            yield name.lower(), each
    for name, each in _items(body):
        if _RESETS.search(name.lower()):
            yield name.lower(), each


def _fields(body: Json) -> Iterator[tuple[str, Json]]:
    for name, value in _items(body):
        if re.sub(r"[-_ ]", "", name).lower() in _FIELDS:
            yield name.lower(), value


def _items(body: Json) -> Iterator[tuple[str, Json]]:
    """Yield all fields of a JSON value, at any depth."""
    waiting = [body]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, Mapping):
            yield from ((str(name), value) for name, value in each.items())
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def _seconds(value: Json, milliseconds: bool) -> float | None:
    """Return seconds from now, at least 0; None for what is not a time."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    seconds = None
    with suppress(ValueError, TypeError, OverflowError, IndexError):  # as invalid dates raise
        seconds = _number(float(value), milliseconds)
        if seconds < 0 and float(value) < _EPOCH:
            return None
    if seconds is None and isinstance(value, str):
        seconds = _duration(value.strip().lower())
    if seconds is None and isinstance(value, str):
        seconds = _until(value.strip())
    return max(seconds, 0.0) if seconds is not None and math.isfinite(seconds) else None


def _number(value: float, milliseconds: bool) -> float:
    if value >= _EPOCH_MS:
        return value / 1000 - datetime.now(UTC).timestamp()
    if value >= _EPOCH:
        return value - datetime.now(UTC).timestamp()
    return value / 1000 if milliseconds else value


def _duration(text: str) -> float | None:
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def _until(text: str) -> float | None:
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        with suppress(ValueError, TypeError, OverflowError, IndexError):
            date = read(text)
            date = date if date.tzinfo else date.replace(tzinfo=UTC)
            return (date - datetime.now(UTC)).total_seconds()
    return None
