"""A fake model server: it implements the protocol and answers with a given function.

    with FakeServer(truth_answers(samples)) as server:
        judge = create("judge", "vlm", {"target": "fake", "base_url": server.base_url})

With `truth_answers` it judges darkroom edits by their known truth, so judging can be tried, tested
and timed without a model; tests can pass any function from a request to a reply. It can be slow,
and fail in every way listed in `faults.py`. It listens on this machine only.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from editloop.chat.fake.faults import Fault, Schedule, apply_fault, in_order
from editloop.chat.fake.http import HttpServer
from editloop.chat.fake.request import FakeRequest, read_request
from editloop.runtime.seeding import derive_seed
from editloop.schema import Json

__all__ = ["Answers", "FakeServer", "FakeSettings", "RequestCounts"]

Answers: TypeAlias = Callable[[FakeRequest], str]

_FINISH = {Fault.FILTERED: "content_filter", Fault.TRUNCATED: "length"}
_WATCH = 0.05  # seconds between checks for `close`


@dataclass(frozen=True, slots=True)
class FakeSettings:
    """Settings of the fake server.

    `latency`: seconds per reply, varied by the fraction `jitter`. `key`: the required API key, or
    None. `formats`: the accepted reply formats besides text; others are refused. `retry_after`:
    the header's seconds with a 429.
    """

    model: str = "fake"
    latency: float = 0.0
    jitter: float = 0.0
    seed: int = 0
    key: str | None = None
    formats: frozenset[str] = frozenset({"json_schema", "json_object"})
    retry_after: str = "1"


@dataclass(slots=True)
class RequestCounts:
    """Requests received: in total, by the hash of their body, by fault; most at the same time."""

    requests: int = 0
    bodies: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    at_once: int = 0


class FakeServer:
    """An OpenAI-compatible server on a free local port, or on `port`.

    Starts with the `with` block or by `start`; exceptions from `answers` become status 400.
    """

    def __init__(
        self,
        answers: Answers,
        *,
        faults: Schedule | None = None,
        settings: FakeSettings | None = None,
        port: int = 0,
    ) -> None:
        self.settings = settings or FakeSettings()
        self.seen = RequestCounts()
        self._answers = answers
        self._faults = faults or in_order()
        self._lock = threading.Lock()
        self.busy_now = 0
        self._server = HttpServer(port, self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_WATCH,), daemon=True
        )

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def start(self) -> FakeServer:
        self._thread.start()
        return self

    def wait(self) -> None:
        """Wait until the server is closed or the user interrupts."""
        self._thread.join()

    def close(self) -> None:
        """Stop listening and close every connection."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.close_all()

    def __enter__(self) -> FakeServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self, body: bytes) -> tuple[FakeRequest, Fault | None]:
        """Count a request and choose its fault; raises ValueError if it is invalid."""
        digest = hashlib.sha256(body).hexdigest()[:16]
        with self._lock:
            number, arrival = self.seen.requests, self.seen.bodies[digest]
            self.seen.requests += 1
            self.seen.bodies[digest] += 1
        asked = read_request(body, digest, number, arrival)
        fault = self._faults(asked)
        with self._lock:
            self.seen.faults.update([fault] if fault else [])
        return asked, fault

    def reply(self, asked: FakeRequest, fault: Fault | None) -> Json:
        """Return the complete response to a request."""
        text = apply_fault(self._answers(asked), fault)
        message: dict[str, Json] = {"role": "assistant", "content": text}
        if fault is Fault.REFUSAL:
            message = {"role": "assistant", "content": None, "refusal": "I can't judge this."}
        if fault is Fault.THOUGHTS:
            message = {"role": "assistant", "content": None, "reasoning_content": text}
        finish = "stop" if fault is None else _FINISH.get(fault, "stop")
        read = sum(map(len, asked.texts)) // 4 + 255 * len(asked.links)
        return {
            "id": f"chatcmpl-{asked.digest}",
            "object": "chat.completion",
            "created": 0,
            "model": self.settings.model,
            "system_fingerprint": "fake-1",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {
                "prompt_tokens": read,
                "completion_tokens": len(text) // 4,
                "total_tokens": read + len(text) // 4,
            },
        }

    def delay(self, asked: FakeRequest) -> float:
        """Return the seconds that the reply to a request takes, derived from the seed."""
        drawn = derive_seed(self.settings.seed, asked.digest, asked.arrival, "delay") / 2**63
        return self.settings.latency * (1 + self.settings.jitter * (2 * drawn - 1))

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count a request as in progress."""
        with self._lock:
            self.busy_now += 1
            self.seen.at_once = max(self.seen.at_once, self.busy_now)
        try:
            yield
        finally:
            with self._lock:
                self.busy_now -= 1
