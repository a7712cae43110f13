"""The file of the store: atomic transactions, several writers, detection of damage."""

import multiprocessing
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from editloop.errors import BusyError, CorruptError, StoreError
from editloop.metrics.vectors import VectorFile


def vector(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(8).astype(np.float32)


def vectors(*seeds: int) -> dict[bytes, np.ndarray]:
    return {bytes([seed]): vector(seed) for seed in seeds}


def write_many(path: Path, seeds: range) -> None:
    file = VectorFile(path)
    for seed in seeds:
        file.write("images", vectors(seed))


def test_vectors_come_back_bit_by_bit(tmp_path: Path) -> None:
    VectorFile(tmp_path / "a.sqlite").write("images", vectors(1, 2))
    found = VectorFile(tmp_path / "a.sqlite").read("images", [b"\1", b"\2", b"\3"])
    assert {key: value.tobytes() for key, value in found.items()} == {
        key: value.tobytes() for key, value in vectors(1, 2).items()
    }


def test_the_thread_that_collects_a_file_may_be_another() -> None:
    """An error there would appear in whatever runs at that moment, and pytest would fail."""
    files = [VectorFile()]
    collector = threading.Thread(target=files.clear)
    collector.start()
    collector.join()
    assert files == []


def test_pictures_and_texts_are_apart() -> None:
    file = VectorFile()
    file.write("images", vectors(1))
    assert file.read("texts", [b"\1"]) == {}


def test_more_keys_than_one_question_takes() -> None:
    file = VectorFile()
    many = {index.to_bytes(2): vector(index) for index in range(1201)}
    file.write("texts", many)
    assert len(file.read("texts", list(many))) == 1201


def test_two_processes_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "shared.sqlite"
    spawn = multiprocessing.get_context("spawn")
    ranges = [range(40), range(20, 60)]
    workers = [spawn.Process(target=write_many, args=(path, each)) for each in ranges]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(VectorFile(path).read("images", list(vectors(*range(60))))) == 60


def test_a_file_that_is_no_cache_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "bad.sqlite"
    path.write_bytes(b"not a database " * 100)
    with pytest.raises(CorruptError, match="delete the file") as caught:
        VectorFile(path)
    assert caught.value.value == path


def test_a_changed_vector_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    VectorFile(path).write("images", vectors(1))
    raw = sqlite3.connect(path)
    with raw:
        raw.execute("UPDATE images SET vector = zeroblob(32)")
    raw.close()
    with pytest.raises(CorruptError, match="differs from what was written"):
        VectorFile(path).read("images", [b"\1"])


def test_a_file_cut_short_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    VectorFile(path).write("images", {index.to_bytes(2): vector(index) for index in range(600)})
    path.write_bytes(path.read_bytes()[:-8192])
    with pytest.raises(CorruptError, match="delete the file"):
        VectorFile(path).read("images", [index.to_bytes(2) for index in range(600)])


def test_a_writer_that_does_not_end_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    file = VectorFile(path, patience=0.01)
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BusyError, match="another process"):
        file.write("images", vectors(1))
    other.close()


def test_a_place_that_cannot_hold_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file in its place")
    with pytest.raises(StoreError, match="cache of embeddings"):
        VectorFile(tmp_path / "folder" / "a.sqlite")
