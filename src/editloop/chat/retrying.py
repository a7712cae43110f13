"""The only retry layer: which requests are retried, how often, and after which delay.

A server's Retry-After takes precedence over our exponential backoff. The jitter is derived from the
call, so the same run waits for the same times.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from editloop.chat.call_errors import CallError
from editloop.chat.settings import ServerSettings
from editloop.chat.throttle import Timer
from editloop.runtime.seeding import derive_seed

__all__ = ["LONGEST_WAIT", "retried"]

LONGEST_WAIT = 300.0  # seconds; if a server asks for more, the call fails
_FIRST_WAIT, _LARGEST_WAIT = 0.5, 30.0  # seconds; doubled with each attempt
_UNUSABLE = frozenset({"empty", "filtered"})  # billed, and likely to be the same again

_T = TypeVar("_T")


async def retried(
    attempt: Callable[[], Awaitable[_T]],
    settings: ServerSettings,
    key: str,
    timer: Timer,
    *,
    re_asks: int,
) -> _T:
    """Return the result of `attempt`, retried after each retryable CallError; raises the last one.

    A filtered reply, or one without content, costs money and is retried at most `re_asks` times;
    everything else is tried at most `attempts` times.
    """

    def enough(state: RetryCallState) -> bool:
        unusable = _error(state).code in _UNUSABLE
        limit = min(settings.attempts, 1 + re_asks) if unusable else settings.attempts
        return state.attempt_number >= limit

    def wait(state: RetryCallState) -> float:
        asked = _error(state).wait
        return _backoff(key, state.attempt_number) if asked is None else asked

    async def once() -> _T:  # tenacity only awaits functions declared async
        return await attempt()

    retrying = AsyncRetrying(
        stop=enough,
        wait=wait,
        retry=retry_if_exception(_is_retryable),
        sleep=timer.sleep,
        reraise=True,
    )
    return await retrying(once)


def _error(state: RetryCallState) -> CallError:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, CallError)
    return error


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, CallError) and error.retry and (error.wait or 0.0) <= LONGEST_WAIT


def _backoff(key: str, attempt: int) -> float:
    """Return the seconds before the next attempt: 0.5, 1, 2, ... up to 30, times 0.5 to 1."""
    whole = min(_FIRST_WAIT * 2.0 ** (attempt - 1), _LARGEST_WAIT)
    return whole * (1 + derive_seed(key, attempt) / 2**63) / 2
