"""Concurrent calls: the implementation of `client.Chat`, inside one event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from editloop.chat.budget import OverBudgetError, Purse
from editloop.chat.ledger import Ledger, Reply
from editloop.chat.messages import Failed, Question, ReplyError
from editloop.chat.requests import Call, Dialect, re_asked
from editloop.chat.retrying import LONGEST_WAIT, retried
from editloop.chat.settings import ChatSettings
from editloop.chat.throttle import Gate, Timer
from editloop.chat.transport import CallError, Transport, check_usable, hopeless, parse_reply
from editloop.chat.usage import ChatUsage, RunUsage
from editloop.errors import FailureClass, UnavailableError

__all__ = ["CallsInFlight"]

_POLL_SECONDS = 0.1  # between checks for the reply to a call made elsewhere

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
        settings: ChatSettings,
        ledger: Ledger,
        purse: Purse,
        counts: RunUsage,
        timer: Timer,
    ) -> None:
        self._counts = counts
        self._settings = settings
        self._ledger = ledger
        self._purse = purse
        self._timer = timer
        self._gate = Gate(settings.concurrency, timer)
        self._dialect = Dialect(settings)
        self._transport = Transport(settings)
        self._running: dict[str, asyncio.Event] = {}

    async def ask(
        self, questions: Sequence[Question], read: Callable[[str], _T]
    ) -> list[_T | Failed]:
        """Return the answers in order.

        After an error that no question caused, running calls finish and are stored, the remaining
        questions are not asked, and the error is raised.
        """
        answers: dict[int, _T | Failed] = {}
        stops: list[Exception] = []
        queue = iter(enumerate(questions))

        async def work() -> None:
            for index, question in queue:
                try:
                    answers[index] = await self._answer(question, read)
                except Exception as error:
                    stops.append(error)
                if stops:
                    return

        workers = min(self._settings.concurrency, len(questions))
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work())
        if stops:
            raise stops[0]
        return [answers[index] for index in range(len(questions))]

    @property
    def counts(self) -> ChatUsage:
        """The usage so far."""
        return self._counts.own

    async def close(self) -> None:
        await self._transport.close()
        self._purse.close()
        self._counts.close()

    async def _answer(self, question: Question, read: Callable[[str], _T]) -> _T | Failed:
        self._counts.add(questions=1)
        effort = _Effort()
        try:
            return await self._read(question, read, effort)
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
        return replace(failed, attempts=effort.attempts, reply_key=effort.reply_key)

    async def _read(self, question: Question, read: Callable[[str], _T], effort: _Effort) -> _T:
        """Return the parsed answer; after an unusable reply, the question is asked again."""
        re_ask = 0
        while True:
            reply = await self._reply(Call(self._settings, question, re_ask), effort)
            try:
                return read(reply.text)
            except ReplyError as error:
                if re_ask == self._settings.re_asks:
                    raise
                question = re_asked(question, reply.text, error.reason)
            re_ask += 1
            self._counts.add(re_asks=1)

    async def _reply(self, call: Call, effort: _Effort) -> Reply:
        """Return the reply from the ledger, after waiting for the same call, or from the server."""
        key = call.key
        while (reply := self._ledger.find(key)) is None and key in self._running:
            await self._running[key].wait()
        if reply is not None:
            self._counts.add(found=1)
        else:
            finished = self._running[key] = asyncio.Event()
            try:
                reply = await self._claimed(call, key, effort)
            finally:
                del self._running[key]
                finished.set()
        effort.reply_key = key
        return reply

    async def _claimed(self, call: Call, key: str, effort: _Effort) -> Reply:
        """Return the server's reply, or the reply to the same call made by another process.

        If the other process dies or its call fails, this one makes the call. If it is suspended,
        this one makes the call after the maximum time of all attempts; it may be billed twice.
        """
        patience = self._timer.now() + self._settings.attempts * self._settings.timeout
        while True:
            with self._ledger.claim(key) as ours:
                if (reply := self._ledger.find(key)) is not None:
                    self._counts.add(found=1)
                    return reply
                if ours or self._timer.now() >= patience:
                    return await self._fetch(call, key, effort)
            await self._timer.sleep(_POLL_SECONDS)

    async def _fetch(self, call: Call, key: str, effort: _Effort) -> Reply:
        try:
            return await retried(
                lambda: self._attempt(call, key, effort), self._settings, key, self._timer
            )
        except CallError as error:
            stop = hopeless(error, self.counts, self._settings)
            raise stop or error from None

    async def _attempt(self, call: Call, key: str, effort: _Effort) -> Reply:
        """Make one attempt and record its cost; a usable reply is stored before it is parsed."""
        reserved = await self._purse.set_aside(call.question.messages)
        cost: float | None = None  # unknown until the reply arrives
        tokens: int | None = None
        try:
            reply = await self._exchange(call, effort)
            cost, tokens = reply.cost, reply.input_tokens
        except CallError as error:
            cost = None if error.billed else 0.0
            raise
        except UnavailableError:
            cost = 0.0
            raise
        finally:
            await self._purse.settle(reserved, cost, tokens)
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

    async def _exchange(self, call: Call, effort: _Effort) -> Reply:
        """Return one reply from the server, in the strictest style that it accepts."""
        schema = call.question.schema
        style = self._dialect.style(schema)
        async with self._gate.passed() as entered:
            while True:
                effort.attempts += 1
                self._counts.add(attempts=1)
                started = time.perf_counter()
                try:
                    reply = parse_reply(await self._transport.send(call.body(style)))
                except CallError as error:
                    self._slow_down(error, entered)
                    simpler = self._dialect.simpler(schema, style, error.message)
                    if error.code != "bad-request" or simpler is None:
                        raise
                    style = simpler
                else:
                    self._gate.widen()
                    self._dialect.found(schema, style)
                    return self._priced(reply, time.perf_counter() - started)

    def _slow_down(self, error: CallError, entered: float) -> None:
        """Reduce concurrency if the server is overloaded, and wait if it asks for that."""
        if error.overload:
            self._gate.narrow(entered)
        if error.wait is not None and error.wait <= LONGEST_WAIT:
            self._gate.close_for(error.wait)

    def _priced(self, reply: Reply, seconds: float) -> Reply:
        cost = None
        if reply.input_tokens is not None and reply.output_tokens is not None:
            cost = self._settings.price(reply.input_tokens, reply.output_tokens)
        return replace(reply, cost=cost, seconds=seconds)
