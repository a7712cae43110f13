"""Claims: one holder per name, in any process; a process that ends leaves none."""

import pickle
import threading
from pathlib import Path

import pytest

from editloop.chat.key_locks import Claims
from editloop.errors import StoreError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "ledger-claims"


def test_a_name_has_one_holder_and_others_are_free(path: Path) -> None:
    first, second = Claims(path), Claims(path)
    with first.claim("a") as mine, second.claim("a") as theirs, second.claim("b") as other:
        assert (mine, theirs, other) == (True, False, True)
    with second.claim("a") as theirs:
        assert theirs
    first.close()
    second.close()


def test_threads_of_one_object_exclude_each_other(path: Path) -> None:
    claims, found = Claims(path), list[bool]()

    def take() -> None:
        with claims.claim("a") as mine:
            found.append(mine)

    with claims.claim("a"):
        other = threading.Thread(target=take)
        other.start()
        other.join()
    take()
    assert found == [False, True]
    claims.close()


def test_who_was_refused_frees_nothing(path: Path) -> None:
    first, second = Claims(path), Claims(path)
    with first.claim("a"):
        for _ in range(2):
            with second.claim("a") as theirs:
                assert not theirs
            with first.claim("a") as again:
                assert not again
    first.close()
    second.close()


def test_closing_drops_what_is_held_and_it_can_be_used_again(path: Path) -> None:
    first, second = Claims(path), Claims(path)
    with first.claim("a"):
        first.close()
        with second.claim("a") as theirs:
            assert theirs
    with first.claim("a") as mine:
        assert mine
    first.close()
    second.close()


def test_an_error_inside_frees_the_name(path: Path) -> None:
    claims = Claims(path)
    with pytest.raises(KeyError), claims.claim("a"):
        raise KeyError
    with claims.claim("a") as mine:
        assert mine
    claims.close()


def test_nothing_is_written(path: Path) -> None:
    claims = Claims(path)
    with claims.claim("a"), claims.claim("b"):
        assert path.stat().st_size == 0
    claims.close()


def test_a_copy_for_another_process_opens_its_own(path: Path) -> None:
    claims = Claims(path)
    with claims.claim("a"):
        copy = pickle.loads(pickle.dumps(claims))
        with copy.claim("a") as theirs:
            assert not theirs
        copy.close()
    claims.close()


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    claims = Claims(tmp_path / "file" / "claims")
    with pytest.raises(StoreError, match="cannot claim"), claims.claim("a"):
        pass


def test_a_file_that_cannot_be_opened_is_not_taken_for_one_that_is_held(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot claim"), Claims(path).claim("a"):
        pass
