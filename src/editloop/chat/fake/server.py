"""A fake model server: it implements the protocol and answers with a given function.

    with FakeServer(truth_answers(samples)) as server:
        judge = create("judge", "vlm", {"target": "fake", "base_url": server.base_url})

With `truth_answers` it judges darkroom edits by their known truth, so judging can be tried, tested
and timed without a model; tests can pass any function from a request to a reply. It can be slow,
and fail in every way listed in `faults.py`. It listens on this machine only.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from editloop.chat.fake.faults import Fault, Schedule, apply_fault, in_order
from editloop.chat.fake.http import HttpServer
from editloop.chat.fake.moderation import (
    Flags,
    ModerationRequest,
    moderation_reply,
    read_moderation_request,
)
from editloop.chat.fake.pictures import (
    PictureAnswers,
    PictureRequest,
    content_of,
    picture_reply,
    read_picture_request,
)
from editloop.chat.fake.request import FakeRequest, read_request
from editloop.runtime.seeding import derive_seed
from editloop.schema import Json, canonical_json

__all__ = [
    "CHAT",
    "IMAGES",
    "MODERATIONS",
    "Answers",
    "FakeServer",
    "FakeSettings",
    "Request",
    "RequestCounts",
]

CHAT, MODERATIONS = "/v1/chat/completions", "/v1/moderations"
IMAGES = ("/v1/images/edits", "/v1/images/generations")

Answers: TypeAlias = Callable[[FakeRequest], str]
Request: TypeAlias = FakeRequest | PictureRequest | ModerationRequest

_FINISH = {Fault.FILTERED: "content_filter", Fault.TRUNCATED: "length"}
_WATCH = 0.05  # seconds between checks for `close`


@dataclass(frozen=True, slots=True)
class FakeSettings:
    """Settings of the fake server.

    `latency`: seconds per reply, varied by the fraction `jitter`. `key`: the required API key, or
    None. `formats`: the accepted reply formats besides text; others are refused. `retry_after`:
    the header's seconds with a 429. `dialect`: that of the images endpoints, `openai` or
    `vllm-omni`.
    """

    model: str = "fake"
    latency: float = 0.0
    jitter: float = 0.0
    seed: int = 0
    key: str | None = None
    formats: frozenset[str] = frozenset({"json_schema", "json_object"})
    retry_after: str = "1"
    dialect: str = "openai"


@dataclass(slots=True)
class RequestCounts:
    """Requests received: in total, by the hash of their body, by fault; most at the same time."""

    requests: int = 0
    bodies: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    at_once: int = 0


class FakeServer:
    """An OpenAI-compatible server on a free local port, or on `port`.

    It answers chat completions by `answers`, images by `pictures`, and moderations by `flags`; an
    endpoint without its function does not exist. Starts with the `with` block or by `start`;
    exceptions from these functions become status 400.
    """

    def __init__(
        self,
        answers: Answers | None = None,
        *,
        pictures: PictureAnswers | None = None,
        flags: Flags | None = None,
        faults: Schedule | None = None,
        settings: FakeSettings | None = None,
        port: int = 0,
    ) -> None:
        self.settings = settings or FakeSettings()
        self.seen = RequestCounts()
        self._answers = answers
        self._pictures = pictures
        self._flags = flags
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

    @property
    def endpoints(self) -> list[str]:
        """The paths that this server answers requests at."""
        functions = {
            CHAT: self._answers,
            **dict.fromkeys(IMAGES, self._pictures),
            MODERATIONS: self._flags,
        }
        return [path for path, function in functions.items() if function is not None]

    def take(
        self, body: bytes, path: str = CHAT, content_type: str = ""
    ) -> tuple[Request, Fault | None]:
        """Count a request and choose its fault; raises ValueError if it is invalid."""
        fields, files = ({}, {}) if path == CHAT else content_of(body, content_type)
        if path == IMAGES[0] and "image" not in files:
            raise ValueError("there is no image to edit")
        digest = _hash(body) if path == CHAT else _content_hash(path, fields, files)
        with self._lock:
            number, arrival = self.seen.requests, self.seen.bodies[digest]
            self.seen.requests += 1
            self.seen.bodies[digest] += 1
        asked: Request
        if path == CHAT:
            asked = read_request(body, digest, number, arrival)
        elif path == MODERATIONS:
            asked = read_moderation_request(fields, digest, number, arrival)
        else:
            asked = read_picture_request(
                fields,
                files,
                dialect=self.settings.dialect,
                digest=digest,
                number=number,
                arrival=arrival,
            )
        fault = self._faults(asked)
        with self._lock:
            self.seen.faults.update([fault] if fault else [])
        return asked, fault

    def reply(self, asked: Request, fault: Fault | None) -> bytes:
        """Return the complete response to a request."""
        if isinstance(asked, FakeRequest):
            return json.dumps(self._completion(asked, fault)).encode()
        if isinstance(asked, ModerationRequest):
            assert self._flags is not None
            return json.dumps(moderation_reply(asked, self._flags)).encode()
        assert self._pictures is not None
        made = self._pictures(replace(asked, wrong=fault is Fault.WRONG))
        data = json.dumps(picture_reply(asked, made, fault)).encode()
        return data[: len(data) // 2] if fault is Fault.MALFORMED else data

    def refusal(self, asked: Request, fault: Fault | None) -> tuple[str, str] | None:
        """Return the message and code with which a request is refused, or None."""
        if isinstance(asked, FakeRequest):
            if asked.format in self.settings.formats | {"text"}:
                return None
            return f"response_format {asked.format} is not supported", "unsupported"
        if fault is Fault.FILTERED:
            return "the request was rejected by the safety system", "moderation_blocked"
        return None

    def _completion(self, asked: FakeRequest, fault: Fault | None) -> Json:
        assert self._answers is not None
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

    def delay(self, asked: Request) -> float:
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


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _content_hash(path: str, fields: Mapping[str, Json], files: Mapping[str, bytes]) -> str:
    """Return a hash of a form's content, whose body has a random boundary."""
    hashes = {name: _hash(data) for name, data in files.items()}
    return _hash(canonical_json([path, fields, hashes]).encode())
