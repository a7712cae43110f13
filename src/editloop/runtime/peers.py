"""Connections between processes that share a secret; each end calls functions of the other.

A call is a pickle, which can run any code. So nothing is read from a connection until both ends
have proved that they know the secret. It is a file that only its owner can read, and is passed on
by its path.
"""

from __future__ import annotations

import os
import secrets
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from pathlib import Path
from typing import Any, Protocol

from editloop.errors import UnavailableError

__all__ = ["Peer", "connect", "new_secret", "read_secret", "serve_all"]

_BYTES = 32
_WAITING = 60.0  # seconds until a connection, or a file that another machine wrote, must be there
_POLL = 0.1  # seconds
_SILENT = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3))  # seconds, number


class _Tied(Protocol):
    def lost(self) -> None:
        """Take note that the other process is gone."""
        ...


class Peer:
    """The process at the other end of a connection.

    `tied` has the objects that the other end may call by number. `heard` is the time, by
    `time.monotonic`, of its last call, and `gone` is set when it has ended or was given up.
    """

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self.tied: dict[int, _Tied] = {}
        self.heard = time.monotonic()
        self.gone = threading.Event()
        self._connection = connection
        self._sending = threading.Lock()

    def call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call `function(peer, *arguments)` in the other process, without waiting for it.

        Raises OSError if the process is gone.
        """
        with self._sending:
            self._connection.send((function, arguments))

    def tell(self, number: int, method: str, *arguments: Any) -> None:
        """Call a method of the object that the other end has tied to a number, if it still has."""
        self.call(_told, number, method, arguments)

    def take(self) -> Callable[[], None]:
        """Return the next call of the other process, and wait for it for any time.

        Raises EOFError or OSError if the process is gone.
        """
        function, arguments = self._connection.recv()
        self.heard = time.monotonic()
        return partial(function, self, *arguments)

    def serve(self) -> None:
        """Make the calls of the other process until it is gone."""
        while True:
            try:
                call = self.take()
            except (EOFError, OSError):
                break
            call()
        self.end()

    def end(self) -> None:
        """Give the other process up."""
        self.gone.set()
        with suppress(OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as own:
            own.shutdown(socket.SHUT_RDWR)  # ends `take` in another thread, too
        for each in list(self.tied.values()):
            each.lost()


def _told(peer: Peer, number: int, method: str, arguments: tuple[Any, ...]) -> None:
    found = peer.tied.get(number)
    if found is not None:
        getattr(found, method)(*arguments)


def serve_all(
    listener: socket.socket, secret: bytes, complete: Callable[[], bool], seconds: float
) -> None:
    """Serve each process that connects and knows the secret, in a thread, until all are there.

    Raises TimeoutError if that takes longer.
    """
    listener.settimeout(_POLL)
    last = time.monotonic() + seconds
    while not complete():
        if time.monotonic() > last:
            raise TimeoutError
        with suppress(TimeoutError):
            opened, _ = listener.accept()
            threading.Thread(target=_serve, args=(opened, secret), daemon=True).start()


def _serve(opened: socket.socket, secret: bytes) -> None:
    connection = _connection(opened)
    try:
        deliver_challenge(connection, secret)
        answer_challenge(connection, secret)
    except (AuthenticationError, AssertionError, EOFError, OSError):  # of a stranger
        connection.close()
        return
    Peer(connection).serve()


def connect(host: str, port: int, secret: bytes) -> Peer:
    """Return the process at an address; UnavailableError if it does not know the secret."""
    try:
        connection = _connection(socket.create_connection((host, port), _WAITING))
        answer_challenge(connection, secret)
        deliver_challenge(connection, secret)
    except (AuthenticationError, AssertionError, EOFError, OSError) as error:
        raise UnavailableError(
            f"cannot connect to the main process of the launcher: {error or type(error).__name__}",
            value=f"{host}:{port}",
            fix="let the machines of the launcher reach each other on all ports",
        ) from error
    return Peer(connection)


def _connection(opened: socket.socket) -> Connection[Any, Any]:
    """Return a connection that ends when the other machine is silent for two minutes."""
    opened.settimeout(None)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _SILENT:
        if hasattr(socket, name):  # not available on every system
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return Connection(opened.detach())


@contextmanager
def new_secret(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Give a new secret and the file that holds it during the block."""
    path, secret = folder / f".editloop-{secrets.token_hex(8)}", secrets.token_bytes(_BYTES)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UnavailableError(
            f"cannot write a file for the other processes of the launcher: {error.strerror}",
            value=folder,
            fix="start the launcher in a folder that you may write to",
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secret)
        yield path, secret
    finally:
        path.unlink(missing_ok=True)


def read_secret(path: Path) -> bytes:
    """Return the secret in a file; UnavailableError if others could have written or read it."""
    last = time.monotonic() + _WAITING
    while not path.exists() and time.monotonic() < last:  # a network file system may be late
        time.sleep(_POLL)
    cause = "the main process of the launcher passes a file that is no secret of this user's"
    fix = "start the launcher on all machines as one user, in the same shared folder"
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            found, secret = os.fstat(file.fileno()), file.read(_BYTES + 1)
    except OSError as error:
        raise UnavailableError(f"{cause}: {error.strerror}", value=path, fix=fix) from error
    private = stat.S_ISREG(found.st_mode) and not found.st_mode & 0o077
    if not private or found.st_uid != os.getuid() or len(secret) != _BYTES:
        raise UnavailableError(cause, value=path, fix=fix)
    return secret
