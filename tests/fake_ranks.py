"""Ranks of a launcher that are played by threads; the test's process starts their workers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import pytest

from editloop.runtime import ranks
from editloop.runtime.peers import Peer
from editloop.runtime.ranks import Member

__all__ = ["leading", "rank"]


@contextmanager
def rank(cores: int = 1, *gpus: str) -> Iterator[tuple[Member, Peer]]:
    """Give another rank, and what it sees of the leader; both ends are served in threads."""
    peer, leader = (Peer(Connection(end.detach())) for end in socket.socketpair())
    threads = [threading.Thread(target=each.serve) for each in (peer, leader)]
    for thread in threads:
        thread.start()
    yield Member(cores, gpus, peer=peer), leader
    peer.end()
    leader.end()
    for thread in threads:
        thread.join()


@contextmanager
def leading(monkeypatch: pytest.MonkeyPatch, cores: int) -> Iterator[None]:
    """Lead one other rank, which does all the work."""
    with rank(cores) as (member, _), monkeypatch.context() as patched:
        for name, value in {"RANK": "0", "WORLD_SIZE": "2"}.items():
            patched.setenv(name, value)
        patched.setattr(ranks, "_STATE", ranks._State(inside=True, leading=True))
        patched.setattr(ranks, "members", lambda: (member,))
        yield
