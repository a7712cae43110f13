"""Locks and databases on network file systems: refused, or used in a way that is safe there."""

import fcntl
import sqlite3

import pytest

from editloop.chat.key_locks import KeyLocks
from editloop.errors import StoreError
from editloop.storage import mounts
from editloop.storage.locks import lock
from editloop.storage.small_sqlite import Database


@pytest.fixture
def mounted(tmp_path, monkeypatch):
    """Let the system say that a folder is a mount of some kind."""
    monkeypatch.setattr(mounts, "_excluding", set())

    def mount(kind, options="rw,relatime"):
        place = tmp_path / "a mount"
        place.mkdir(exist_ok=True)
        escaped = str(place).replace(" ", "\\040")
        table = tmp_path / "mounts"
        table.write_text(f"/dev/sda / ext4 rw 0 0\nhost:/x {escaped} {kind} {options} 0 0\n")
        monkeypatch.setattr(mounts, "_TABLE", table)
        return place / "run"

    return mount


def hold(kind, folder):
    if kind == "folder":
        return lock(folder)
    if kind == "key":
        return KeyLocks(folder / "claims").hold("a")
    return Database(folder / "file.sqlite", {"one": "(value)"}).transaction()


DOORS = pytest.mark.parametrize("door", ["folder", "key", "database"])


@DOORS
@pytest.mark.parametrize(
    ("kind", "options", "named"),
    [
        ("nfs", "rw,vers=3,nolock", "nfs, nolock"),
        ("nfs", "rw,local_lock=flock", "nfs, local_lock=flock"),
        ("nfs4", "rw,local_lock=all,addr=1.2.3.4", "nfs4, local_lock=all"),
        ("cifs", "rw,nobrl", "cifs, nobrl"),
        ("lustre", "rw,localflock", "lustre, localflock"),
        ("fuse.sshfs", "rw", "fuse.sshfs"),
        ("beegfs", "rw", "beegfs"),
    ],
)
def test_locks_that_hold_on_one_machine_only_are_refused(mounted, door, kind, options, named):
    folder = mounted(kind, options)
    with pytest.raises(StoreError, match="on one machine only") as refused, hold(door, folder):
        pass
    assert refused.value.value == named
    assert "local disk" in refused.value.fix


@DOORS
@pytest.mark.parametrize("kind", ["ext4", "overlay", "nfs4", "lustre", "9p"])
def test_locks_that_exclude_are_used(mounted, door, kind):
    with hold(door, mounted(kind, "rw,flock,local_lock=none")):
        pass


@DOORS
def test_locks_that_exclude_nobody_are_refused(mounted, door, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    with pytest.raises(StoreError, match="do not exclude anyone"), hold(door, mounted("fuse.own")):
        pass


@DOORS
def test_a_file_system_without_locks_is_explained(mounted, door, monkeypatch):
    def absent(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", absent)
    with pytest.raises(StoreError, match="cannot lock files"), hold(door, mounted("lustre")):
        pass


def mode_of(path):
    with sqlite3.connect(path) as opened:
        (mode,) = opened.execute("PRAGMA journal_mode").fetchone()
    opened.close()
    return mode


def test_a_database_on_a_network_file_system_needs_no_shared_memory(mounted, capsys):
    path = mounted("ext4") / "file.sqlite"
    local = Database(path, {"one": "(value)"})
    local.rows("INSERT INTO one VALUES (1)")
    local.close()
    assert mode_of(path) == "wal"
    assert not capsys.readouterr().err
    mounted("nfs4")
    for _ in range(2):
        moved = Database(path, {"one": "(value)"})
        assert moved.rows("SELECT value FROM one") == [(1,)]
        moved.close()
    assert mode_of(path) == "delete"
    assert capsys.readouterr().err.count("network file system (nfs4)") == 1
