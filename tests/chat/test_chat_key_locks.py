"""Locks on keys: one holder per name, in any process; a process that ends leaves none."""

import pickle
import threading
from pathlib import Path

import pytest

from editloop.chat.key_locks import KeyLocks
from editloop.errors import StoreError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "ledger-claims"


def test_a_name_has_one_holder_and_others_are_free(path: Path) -> None:
    first, second = KeyLocks(path), KeyLocks(path)
    with first.hold("a") as mine, second.hold("a") as theirs, second.hold("b") as other:
        assert (mine, theirs, other) == (True, False, True)
    with second.hold("a") as theirs:
        assert theirs
    first.close()
    second.close()


def test_threads_of_one_object_exclude_each_other(path: Path) -> None:
    locks, found = KeyLocks(path), list[bool]()

    def take() -> None:
        with locks.hold("a") as mine:
            found.append(mine)

    with locks.hold("a"):
        other = threading.Thread(target=take)
        other.start()
        other.join()
    take()
    assert found == [False, True]
    locks.close()


def test_who_was_refused_frees_nothing(path: Path) -> None:
    first, second = KeyLocks(path), KeyLocks(path)
    with first.hold("a"):
        for _ in range(2):
            with second.hold("a") as theirs:
                assert not theirs
            with first.hold("a") as again:
                assert not again
    first.close()
    second.close()


def test_closing_drops_what_is_held_and_it_can_be_used_again(path: Path) -> None:
    first, second = KeyLocks(path), KeyLocks(path)
    with first.hold("a"):
        first.close()
        with second.hold("a") as theirs:
            assert theirs
    with first.hold("a") as mine:
        assert mine
    first.close()
    second.close()


def test_an_error_inside_frees_the_name(path: Path) -> None:
    locks = KeyLocks(path)
    with pytest.raises(KeyError), locks.hold("a"):
        raise KeyError
    with locks.hold("a") as mine:
        assert mine
    locks.close()


def test_nothing_is_written(path: Path) -> None:
    locks = KeyLocks(path)
    with locks.hold("a"), locks.hold("b"):
        assert path.stat().st_size == 0
    locks.close()


def test_a_copy_for_another_process_opens_its_own(path: Path) -> None:
    locks = KeyLocks(path)
    with locks.hold("a"):
        copy = pickle.loads(pickle.dumps(locks))
        with copy.hold("a") as theirs:
            assert not theirs
        copy.close()
    locks.close()


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    locks = KeyLocks(tmp_path / "file" / "claims")
    with pytest.raises(StoreError, match="cannot lock"), locks.hold("a"):
        pass


def test_a_file_that_cannot_be_opened_is_not_taken_for_one_that_is_held(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot lock"), KeyLocks(path).hold("a"):
        pass


def test_who_waits_is_told_when_the_lock_ends(path: Path) -> None:
    locks = KeyLocks(path)
    assert locks.released("a") is None
    with locks.hold("a"):
        released = locks.released("a")
        assert released is not None
        assert not released.cancel()
        assert not released.done()
    assert released.done()
    with locks.hold("a"):
        closed = locks.released("a")
        locks.close()
    assert closed is not None
    assert closed.done()


def test_force_passes_over_other_processes_only(path: Path) -> None:
    first, second = KeyLocks(path), KeyLocks(path)
    with first.hold("a"), second.hold("a", force=True) as mine:
        assert mine
        with second.hold("a", force=True) as again:
            assert not again
    with second.hold("a") as mine:
        assert mine
    first.close()
    second.close()
