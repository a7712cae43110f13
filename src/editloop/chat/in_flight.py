"""Concurrent calls: the implementation of `model_server.ModelServer`, inside one event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TypeVar

from editloop.chat.budget import Budget, OverBudgetError
from editloop.chat.call_errors import CallError
from editloop.chat.diagnosis import FirstAnswers
from editloop.chat.ledger import Ledger, Reply
from editloop.chat.messages import Failed, ReplyError
from editloop.chat.replies import check_usable
from editloop.chat.request_styles import RequestStyles, Style
from editloop.chat.retrying import LONGEST_WAIT, retried
from editloop.chat.server_calls import ServerCall
from editloop.chat.settings import ServerSettings
from editloop.chat.throttle import ConcurrencyLimit, Timer
from editloop.chat.transport import Transport
from editloop.chat.usage import ChatUsage, RunUsage
from editloop.errors import FailureClass, UnavailableError
from editloop.schema import Json

__all__ = ["CallsInFlight"]

_LOG = logging.getLogger(__name__)
_STAYS = 3  # attempts after which an error of the server is no passing one
_POLL_SECONDS = 0.1  # between checks of a call that another process makes

_T = TypeVar("_T")


@dataclass(slots=True)
class _Effort:
    """The number of requests sent for a question, and the ledger key of its last raw reply."""

    attempts: int = 0
    reply_key: str | None = None


class CallsInFlight:
    """The concurrent calls to one server. Created and used inside one event loop."""

    def __init__(
        self,
        settings: ServerSettings,
        ledger: Ledger,
        budget: Budget,
        counts: RunUsage,
        timer: Timer,
        *,
        styles: RequestStyles,
    ) -> None:
        self._counts = counts
        self._settings = settings
        self._ledger = ledger
        self._budget = budget
        self._timer = timer
        self._limit = ConcurrencyLimit(settings.concurrency, timer)
        self._styles = styles
        self._first = FirstAnswers(settings.base_url)
        self._stopped: UnavailableError | None = None
        self._alone = asyncio.Lock()  # held by the first request, and while the style is sought
        self._is_tried = not styles.adapts
        self._transport = Transport(settings)

    async def ask(
        self, asked: Sequence[tuple[ServerCall, Callable[[Reply], _T]]]
    ) -> list[_T | Failed]:
        """Return the answers in order.

        After an error that no question caused, running calls finish and are stored, the remaining
        questions are not asked, and the error is raised.
        """
        answers: dict[int, _T | Failed] = {}
        stops: list[Exception] = []
        queue = iter(enumerate(asked))

        async def work() -> None:
            for index, (call, read) in queue:
                async with self._first.turn():
                    if stops:
                        return
                    try:
                        answers[index] = await self._answer(call, read)
                    except Exception as error:
                        stops.append(error)
                if stops:
                    return

        workers = min(self._settings.concurrency, len(asked))
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work())
        if stops:
            raise stops[0]
        return [answers[index] for index in range(len(asked))]

    @property
    def counts(self) -> ChatUsage:
        """The usage so far."""
        return self._counts.own

    async def close(self) -> None:
        await self._transport.close()
        self._budget.close()
        self._counts.close()

    async def _answer(self, call: ServerCall, read: Callable[[Reply], _T]) -> _T | Failed:
        self._counts.add(questions=1)
        effort = _Effort()
        try:
            answer = await self._read(call, read, effort)
            if effort.attempts:
                self._first.answered()
            return answer
        except ReplyError as error:
            policy = error.code == "refused"
            failure = FailureClass.POLICY if policy else FailureClass.PERMANENT
            failed = Failed(error.code, error.reason, failure)
        except CallError as error:
            failed = Failed(error.code, error.message, error.failure)
        except OverBudgetError:
            message = f"the budget of {self._settings.budget:g} USD has no room for another call"
            failed = Failed("over-budget", message, FailureClass.TRANSIENT)
        self._counts.add(failed=1)
        if effort.attempts:
            self._stopped = self._stopped or self._first.failed(failed)
        if self._stopped is not None:
            raise self._stopped
        return replace(failed, attempts=effort.attempts, reply_key=effort.reply_key)

    async def _read(self, call: ServerCall, read: Callable[[Reply], _T], effort: _Effort) -> _T:
        """Return the parsed answer; after an unusable reply, the question is asked again."""
        while True:
            key = call.key
            reply = self._stored(key) or await self._only_call(call, key, effort)
            effort.reply_key = key
            try:
                return read(reply)
            except ReplyError as error:
                fault = _cut_off(reply, error) if reply.cut else error
                following = call.after(reply, fault.reason)
                if following is None:
                    raise fault from None
            call = following
            self._counts.add(re_asks=1)

    def _stored(self, key: str) -> Reply | None:
        """Return the reply in the ledger, counted as found; None if there is none."""
        reply = self._ledger.find(key)
        if reply is not None:
            self._counts.add(found=1)
        return reply

    async def _only_call(self, call: ServerCall, key: str, effort: _Effort) -> Reply:
        """Return the server's reply, after waiting for an equal call that is in flight.

        If that call fails or its process dies, this one is made. If another process is suspended,
        this one is made after the maximum time of all attempts; it may be billed twice.
        """
        waited, patience = 0.0, self._settings.attempts * self._settings.timeout
        while True:
            with self._ledger.locks.hold(key, force=waited >= patience) as held:
                if (reply := self._stored(key)) is not None:
                    return reply
                if held:
                    return await self._fetch(call, key, effort)
            if (released := self._ledger.locks.released(key)) is not None:
                await asyncio.wrap_future(released)
            else:
                await self._timer.sleep(_POLL_SECONDS)
                waited += _POLL_SECONDS

    async def _fetch(self, call: ServerCall, key: str, effort: _Effort) -> Reply:
        try:
            return await retried(
                lambda: self._attempt(call, key, effort),
                self._settings,
                key,
                self._timer,
                re_asks=call.re_asks,
            )
        except CallError as error:
            raise self._transport.unavailable_error(error, self.counts) or error from None

    async def _attempt(self, call: ServerCall, key: str, effort: _Effort) -> Reply:
        """Make one attempt and record its cost; a usable reply is stored before it is parsed."""
        if self._stopped is not None:
            raise self._stopped
        reserved = await self._budget.reserve(call.expense)
        cost: float | None = None  # unknown until the reply arrives
        tokens: int | None = None
        try:
            reply = await self._exchange(call, effort)
            cost, tokens = reply.cost, reply.input_tokens
        except CallError as error:
            cost = None if error.billed else 0.0
            if error.billed and isinstance(call.expense, float):
                self._counts.add(cost=call.expense)
            raise
        finally:
            await self._budget.settle(reserved, cost, tokens)
        paid = {
            "input_tokens": reply.input_tokens or 0,
            "output_tokens": reply.output_tokens or 0,
            "cost": reply.cost or 0.0,
        }
        try:
            check_usable(reply)
        except CallError:
            self._counts.add(**paid)
            raise
        kept = self._ledger.keep(key, reply)
        self._counts.add(calls=1, **paid)
        return kept

    async def _exchange(self, call: ServerCall, effort: _Effort) -> Reply:
        """Return one reply from the server, in the strictest style that it accepts.

        The first request is sent alone, so that a refused field is refused only once.
        """
        async with self._limit.slot() as entered:
            async with nullcontext() if self._is_tried else self._alone:
                if not self._is_tried:
                    try:
                        return await self._adapted(call, effort, entered)
                    finally:
                        self._is_tried = True
            return await self._adapted(call, effort, entered)

    async def _adapted(self, call: ServerCall, effort: _Effort, entered: float) -> Reply:
        """Return a reply, after the request is made simpler as often as the server refuses it."""
        schema = call.schema
        tried = [self._styles.style(schema)]
        while True:
            effort.attempts += 1
            self._counts.add(attempts=1)
            started = time.perf_counter()
            try:
                reply = call.parse(await self._transport.send(call.path, call.body(tried[-1])))
            except CallError as error:
                error.message += self._transport.route
                self._slow_down(error, entered)
                simpler = self._simpler(schema, tried, error, effort)
                if simpler is None:
                    raise
                tried.append(simpler)
            else:
                self._limit.increase()
                for note in self._styles.accepted(schema, tried[-1]):
                    _LOG.warning("%s: %s", self._settings.target, note)
                return replace(reply, seconds=time.perf_counter() - started)

    def _simpler(
        self, schema: Json | None, tried: Sequence[Style], error: CallError, effort: _Effort
    ) -> Style | None:
        """Return the style to try after an error, or None if the style is not its cause.

        An error of the server counts as a refusal if it names what was sent, or if it stays.
        """
        refused = error.code == "bad-request"
        if not refused and error.status not in (500, 501):
            return None
        known = self._styles.style(schema)
        if known not in tried:  # another call has found it meanwhile
            return known
        named = not refused and effort.attempts < _STAYS
        return self._styles.simpler(schema, tried[-1], error.said, named=named)

    def _slow_down(self, error: CallError, entered: float) -> None:
        """Reduce concurrency if the server is overloaded, and wait if it asks for that."""
        if error.overload:
            self._limit.decrease(entered)
        if error.wait is not None and error.wait <= LONGEST_WAIT:
            self._limit.pause(error.wait)


def _cut_off(reply: Reply, error: ReplyError) -> ReplyError:
    tokens = "too many" if reply.output_tokens is None else reply.output_tokens
    reason = f"it was cut off after {tokens} tokens, and {error.reason}"
    return ReplyError(reason, code="truncated")
