"""A server that answers each request as a test's function says: status, headers, body."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

Answer = tuple[int, dict[str, str], Any]


@dataclass
class RawServer:
    """The requests that came: bodies, headers and paths."""

    base_url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


def reply(text: str = '{"sum": 2}', finish: str | None = "stop", **message: Any) -> Answer:
    """Return a complete reply."""
    choice = {"message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    return 200, {}, {"choices": [choice]}


def refusal(status: int, message: str, **fields: Any) -> Answer:
    """Return a refusal in OpenAI's form."""
    return status, {}, {"error": {"message": message, **fields}}


@contextmanager
def raw_server(
    answer: Callable[[dict[str, Any]], Answer], *, certificate: Path | None = None
) -> Iterator[RawServer]:
    """Serve the answers of a function of a request's body; TLS with a certificate and key."""
    seen = RawServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.bodies.append(body)
            seen.headers.append({name.lower(): each for name, each in self.headers.items()})
            seen.paths.append(self.path)
            status, headers, content = answer(body)
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Ignore clients that break off."""

    with Server(("127.0.0.1", 0), Handler) as server:
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        seen.base_url = f"{scheme}://127.0.0.1:{server.server_port}/v1"
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield seen
        finally:
            server.shutdown()
