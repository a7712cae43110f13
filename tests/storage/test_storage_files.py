"""File operations: durable writes, and errors with a fix."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest

from editloop.errors import CorruptError, StoreError
from editloop.storage.files import Files, NewFile, explained, replace_file, sweep_temporaries
from editloop.storage.records import (
    decode_record,
    encode_record,
    fingerprint,
    read_record,
    write_record,
)
from kernel_faults import DISK_FULL, CountingFiles, FaultyFiles


class ShortWrites(Files):
    """A system that writes only a few bytes per call, as is allowed."""

    def write(self, descriptor: int, data: memoryview) -> int:
        return super().write(descriptor, data[:7])


class LyingDisk(Files):
    """A disk that stores other bytes than were written."""

    def write(self, descriptor: int, data: memoryview) -> int:
        return super().write(descriptor, memoryview(b"x" * len(data)))


def test_short_writes_are_gone_on_with(tmp_path: Path) -> None:
    replace_file(ShortWrites(), tmp_path / "file", bytes(range(100)))
    assert (tmp_path / "file").read_bytes() == bytes(range(100))


def test_a_file_knows_its_hash_and_size(tmp_path: Path) -> None:
    new = NewFile(Files(), tmp_path / "file")
    new.write(b"abc")
    new.write(b"def")
    new.finish()
    assert new.sha256 == hashlib.sha256(b"abcdef").hexdigest()
    assert new.size == 6


def test_what_reads_back_differently_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="reads back differently"):
        replace_file(LyingDisk(), tmp_path / "file", b"truth")
    assert not (tmp_path / "file").exists()


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path: Path) -> None:
    order: list[str] = []

    class Recording(CountingFiles):
        def before(self, operation: str, *_: object) -> None:
            order.append(operation)

    replace_file(Recording(), tmp_path / "file", b"abc")
    assert order == [
        "make_folder", "create", "write", "sync", "close", "read", "rename", "sync_path",
    ]  # fmt: skip


@pytest.mark.parametrize("at", range(7))
def test_a_failed_replacement_leaves_the_old_file(tmp_path: Path, at: int) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(OSError, match="No space"):
        replace_file(FaultyFiles(at, DISK_FULL), tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"


def test_sweeping_removes_temporaries_only(tmp_path: Path) -> None:
    (tmp_path / ".tmp-123").touch()
    (tmp_path / "file").touch()
    sweep_temporaries(Files(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("number", "fix"),
    [(errno.ENOSPC, "free some disk space"), (errno.EROFS, "choose a writable folder")],
)
def test_an_error_of_the_disk_says_what_to_do(tmp_path: Path, number: int, fix: str) -> None:
    with pytest.raises(StoreError, match="cannot write a thing") as caught:  # noqa: SIM117
        with explained("write a thing", tmp_path):
            raise OSError(number, "words of the system")
    assert str(tmp_path) in str(caught.value)
    assert fix in str(caught.value)


def test_a_record_reads_back(tmp_path: Path) -> None:
    body = {"b": [1, 2.5, None], "a": "é\u0000"}
    write_record(Files(), tmp_path / "record.json", body)
    assert read_record(Files(), tmp_path / "record.json") == body


def test_no_record_is_none(tmp_path: Path) -> None:
    assert read_record(Files(), tmp_path / "record.json") is None


def test_every_flipped_byte_of_a_record_is_found() -> None:
    data = encode_record({"name": "a shard", "rows": 12})
    for at in range(len(data)):
        broken = bytearray(data)
        broken[at] ^= 1
        with pytest.raises(CorruptError):
            decode_record(bytes(broken), Path("record.json"))


def test_a_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
