"""The one retry layer: which requests are sent again, how often, and how long is waited between.

The server's own Retry-After goes before ours: doubling waits with jitter, which is derived from the
call, so that the same run waits the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from editloop.chat.settings import ChatSettings
from editloop.chat.throttle import Timer
from editloop.chat.transport import CallError
from editloop.runtime.seeding import derive_seed

__all__ = ["LONGEST_WAIT", "retried"]

LONGEST_WAIT = 120.0  # seconds; a server that asks for more is not waited for
_FIRST_WAIT, _LARGEST_WAIT = 0.5, 30.0  # seconds; doubled with each attempt
_UNUSABLE = frozenset({"filtered", "truncated"})  # paid, and likely to come out the same

_T = TypeVar("_T")


async def retried(
    attempt: Callable[[], Awaitable[_T]], settings: ChatSettings, key: str, timer: Timer
) -> _T:
    """What `attempt` gives, tried again after each CallError that may pass; the last one is raised.

    A reply that a filter refused or that was cut off costs money and is tried only `re_asks` times
    more; everything else is tried `attempts` times.
    """

    def enough(state: RetryCallState) -> bool:
        unusable = _error(state).code in _UNUSABLE
        limit = min(settings.attempts, 1 + settings.re_asks) if unusable else settings.attempts
        return state.attempt_number >= limit

    def wait(state: RetryCallState) -> float:
        asked = _error(state).wait
        return _backoff(key, state.attempt_number) if asked is None else asked

    async def once() -> _T:  # tenacity awaits only what is declared async
        return await attempt()

    retrying = AsyncRetrying(
        stop=enough,
        wait=wait,
        retry=retry_if_exception(_may_pass),
        sleep=timer.sleep,
        reraise=True,
    )
    return await retrying(once)


def _error(state: RetryCallState) -> CallError:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, CallError)
    return error


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, CallError) and error.retry and (error.wait or 0.0) <= LONGEST_WAIT


def _backoff(key: str, attempt: int) -> float:
    """Seconds before the next attempt: 0.5, 1, 2, ... up to 30, each between half and whole."""
    whole = min(_FIRST_WAIT * 2.0 ** (attempt - 1), _LARGEST_WAIT)
    return whole * (1 + derive_seed(key, attempt) / 2**63) / 2
