"""The HTTP layer of the fake model server, with its transport faults.

Transport faults are produced here on the socket itself; `server.py` produces the replies.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from editloop.chat.fake.faults import Fault
from editloop.errors import EditLoopError
from editloop.schema import Json

if TYPE_CHECKING:
    from editloop.chat.fake.server import FakeServer, Request

__all__ = ["HttpServer"]

_LARGEST = 64_000_000  # bytes of a request
_STATUS = {
    Fault.FORBIDDEN: 403,
    Fault.RATE_LIMITED: 429,
    Fault.RATE_LIMITED_UNTIL: 429,
    Fault.ERROR: 500,
    Fault.UNAVAILABLE: 503,
    Fault.OVERLOADED: 529,
}


class HttpServer(ThreadingHTTPServer):
    """Serves a `FakeServer` on a local port, with a thread per connection."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, port: int, fake: FakeServer) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.fake = fake
        self.closing = threading.Event()
        self.connections: set[socket.socket] = set()

    def close_all(self) -> None:
        self.closing.set()
        self.server_close()
        for connection in tuple(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors from clients that disconnected."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: HttpServer

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def log_message(self, *_: object) -> None:
        """Log nothing; `FakeServer.seen` counts the requests."""

    def do_GET(self) -> None:
        """List the served models, of which there is one."""
        if self.path != "/v1/models":
            self._refuse(404, self._known())
            return
        model = {"id": self.server.fake.settings.model, "object": "model", "owned_by": "editloop"}
        self._send(200, {"object": "list", "data": [model]})

    def do_POST(self) -> None:
        """Answer with a reply of the endpoint, or with the fault scheduled for it."""
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 < length <= _LARGEST:
            self.close_connection = True  # the body was not read
            self._refuse(413, f"a request has 1 to {_LARGEST} bytes, not {length}")
            return
        body = self.rfile.read(length)
        fake = self.server.fake
        if self.path not in fake.endpoints:
            self._refuse(404, self._known())
        elif fake.settings.key not in (None, self._key()):
            self._refuse(401, f"no valid key: {self._key()}")
        else:
            with fake.busy():
                self._complete(fake, body)

    def _known(self) -> str:
        return f"there is only {', '.join(('/v1/models', *self.server.fake.endpoints))}"

    def _key(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def _complete(self, fake: FakeServer, body: bytes) -> None:
        try:
            asked, fault = fake.take(body, self.path, self.headers.get("Content-Type") or "")
        except (EditLoopError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._refuse(400, f"not a request of {self.path}: {error}")
            return
        self.server.closing.wait(fake.delay(asked))
        if fault in _STATUS:
            after = {"Retry-After": fake.settings.retry_after}
            asks_to_wait = fault is Fault.RATE_LIMITED_UNTIL
            self._refuse(_STATUS[fault], f"{fault} to order", after if asks_to_wait else {})
        elif (refusal := fake.refusal(asked, fault)) is not None:
            self._refuse(400, refusal[0], code=refusal[1])
        else:
            self._answer(fake, asked, fault)

    def _answer(self, fake: FakeServer, asked: Request, fault: Fault | None) -> None:
        if fault is Fault.TIME_OUT:
            self.server.closing.wait()
            self.close_connection = True
        elif fault is Fault.RESET:
            self._reset()
        elif fault is Fault.NOT_JSON:
            self._write(200, b"<html>Bad gateway</html>", kind="text/html")
        else:
            self._complete_by_protocol(fake, asked, fault)

    def _complete_by_protocol(self, fake: FakeServer, asked: Request, fault: Fault | None) -> None:
        try:
            data = fake.reply(asked, fault)
        except Exception as error:  # report any error of a test's function to its client
            self._refuse(400, f"no answer: {type(error).__name__}: {error}")
            return
        self._write(200, data, sent=len(data) // 2 if fault is Fault.HALF else len(data))

    def _reset(self) -> None:
        """Reset the connection: a linger time of zero makes the system send RST on close."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def _refuse(
        self, status: int, message: str, headers: dict[str, str] | None = None, *, code: str = ""
    ) -> None:
        error = {"message": message, "type": "fake", **({"code": code} if code else {})}
        self._send(status, {"error": error}, headers)

    def _send(self, status: int, content: Json, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(content).encode()
        self._write(status, data, sent=len(data), headers=headers)

    def _write(
        self,
        status: int,
        data: bytes,
        *,
        sent: int | None = None,
        kind: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> None:
        """Write head and body in one call, so the client never waits for a second packet."""
        lines = {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.wfile.write(f"HTTP/1.1 {status} Fake\r\n{head}\r\n".encode() + data[:sent])
        if sent is not None and sent < len(data):
            self.close_connection = True
