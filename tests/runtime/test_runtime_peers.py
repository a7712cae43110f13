"""Connections between processes: calls of those that know the secret, and of nobody else."""

from __future__ import annotations

import os
import pickle
import socket
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from editloop.errors import UnavailableError
from editloop.runtime.peers import Peer, connect, new_secret, read_secret, serve_all

SECRET = b"s" * 32
CALLS: list[Any] = []


def note(peer: Peer, *arguments: Any) -> None:
    """Note a call, and answer it by the same one, once."""
    CALLS.append(arguments)
    if arguments[0] == "question":
        peer.call(note, "answer", *arguments[1:])


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


def test_processes_with_the_secret_call_each_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        peers: list[Peer] = []

        def join() -> None:
            peers.append(connect(host, port, SECRET))
            peers[0].call(note, "question", 1)

        threading.Thread(target=join).start()
        serve_all(listener, SECRET, lambda: bool(CALLS), 60)
    peers[0].take()()
    assert CALLS == [("question", 1), ("answer", 1)]
    peers[0].end()


class Mark:
    """An object whose pickle leaves a mark when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("garbage", [False, True])
def test_nothing_of_a_stranger_is_read(tmp_path: Path, garbage: bool) -> None:
    """It sends the pickle as its answer to the challenge, and again; then a friend connects."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()

        def come() -> None:
            pickled = pickle.dumps((note, (Mark(tmp_path / "mark"),)))
            with (
                socket.create_connection(address) as stranger,
                socket.create_connection(address),  # which is silent, and holds nobody up
            ):
                with suppress(OSError):  # it was sent away by then
                    if garbage:
                        stranger.sendall(b"\xff" * 64 + pickled)
                    else:
                        for part in (pickled[:250], pickled):
                            Connection(os.dup(stranger.fileno())).send_bytes(part)
                connect(*address, SECRET).call(note, "friend")

        thread = threading.Thread(target=come)
        thread.start()
        serve_all(listener, SECRET, lambda: bool(CALLS), 60)
        thread.join()
    assert CALLS == [("friend",)]
    assert not (tmp_path / "mark").exists()


def test_one_without_the_secret_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        refused: list[bool] = []

        def join() -> None:
            with pytest.raises(UnavailableError, match="cannot connect"):
                connect(*listener.getsockname(), b"t" * 32)
            refused.append(True)

        thread = threading.Thread(target=join)
        thread.start()
        serve_all(listener, SECRET, lambda: bool(refused), 60)
        thread.join()
    assert refused
    with pytest.raises(UnavailableError, match="cannot connect"):
        connect("127.0.0.1", 1, SECRET)


def test_a_wait_for_those_who_never_come_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(TimeoutError):
        serve_all(listener, SECRET, lambda: False, 0.1)


class Tied:
    def __init__(self) -> None:
        self.was_lost = threading.Event()

    def lost(self) -> None:
        self.was_lost.set()


def test_the_end_of_a_process_is_noticed_at_once() -> None:
    ends = socket.socketpair()
    one, other = (Peer(Connection(end.detach())) for end in ends)
    one.tied[1] = tied = Tied()
    thread = threading.Thread(target=one.serve)
    thread.start()
    other.end()
    thread.join(60)
    assert tied.was_lost.is_set()
    assert one.gone.is_set()
    with pytest.raises(BrokenPipeError):
        one.call(note, "too late")


def test_a_secret_is_read_by_its_owner_only_and_removed(tmp_path: Path) -> None:
    with new_secret(tmp_path) as (path, secret):
        assert read_secret(path) == secret
        assert path.stat().st_mode & 0o777 == 0o600
        (tmp_path / "link").symlink_to(path)
        with pytest.raises(UnavailableError, match="no secret"):
            read_secret(tmp_path / "link")
        path.chmod(0o640)
        with pytest.raises(UnavailableError, match="no secret"):
            read_secret(path)
    assert not path.exists()
    path.touch(0o600)
    with pytest.raises(UnavailableError, match="no secret"):
        read_secret(path)
