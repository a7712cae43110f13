"""The ledger: the first reply is kept, unchanged, for every process."""

import pickle
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from editloop.chat.ledger import Ledger, Reply
from editloop.errors import ChangedError, CorruptError, StoreError

FULL = Reply("text", "model", "rev", "stop", 10, 20, 0.5, 1.25)


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(tmp_path / "deep" / "ledger.db")
    yield made
    made.close()


def test_a_reply_is_found_under_its_key(ledger) -> None:
    assert ledger.find("k") is None
    assert ledger.keep("k", FULL) == FULL
    assert ledger.find("k") == FULL
    assert ledger.find("other") is None


def test_the_first_reply_stays(ledger) -> None:
    ledger.keep("k", FULL)
    assert ledger.keep("k", Reply("later")) == FULL
    assert (ledger.find("k"), ledger.count()) == (FULL, 1)


@pytest.mark.parametrize(
    "text", ["", "\x00a\x00", "\ud83d lone \udc00", "e\u0301 é", "אבג \u202e 😀", "x" * 1_000_000]
)
def test_texts_come_back_exactly(ledger, text) -> None:
    reply = Reply(text, model="m\ud83d")
    ledger.keep("k", reply)
    found = ledger.find("k")
    assert found is not None
    assert (found.text, found.model) == (text, "m\\ud83d")


def test_what_was_kept_is_there_after_opening_again(ledger) -> None:
    ledger.keep("k", FULL)
    ledger.close()
    assert ledger.find("k") == FULL
    other = Ledger(ledger.path)
    assert other.find("k") == FULL
    other.close()


def test_it_can_be_sent_to_another_process(ledger) -> None:
    ledger.keep("k", FULL)
    copy = pickle.loads(pickle.dumps(ledger))
    assert copy.find("k") == FULL
    copy.close()


def test_threads_share_it(ledger) -> None:
    def work(start: int) -> None:
        for n in range(50):
            ledger.keep(f"{start + n}", Reply(str(start + n)))

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 25, 50, 75)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.count() == 125
    assert ledger.find("60") == Reply("60")


WRITER = """
import sys
from pathlib import Path
from editloop.chat.ledger import Ledger, Reply
ledger = Ledger(Path(sys.argv[1]))
for n in range(200):
    ledger.keep(f"{n}", Reply(f"{n} by {sys.argv[2]}"))
"""


def test_processes_share_it_and_agree_on_the_first_reply(tmp_path) -> None:
    path = tmp_path / "ledger.db"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    ledger = Ledger(path)
    assert ledger.count() == 200
    assert all(ledger.find(f"{n}").text[:-1] == f"{n} by " for n in range(200))
    ledger.close()


def test_a_reply_that_was_tampered_with_is_never_read(ledger) -> None:
    ledger.keep("k", FULL)
    ledger.close()
    for column, value in [("text", b"texT"), ("cost", 0.25), ("model", "other")]:
        file = sqlite3.connect(ledger.path)
        (old,) = file.execute(f"SELECT {column} FROM replies").fetchone()
        file.execute(f"UPDATE replies SET {column} = ?", (value,))
        file.commit()
        with pytest.raises(CorruptError, match="damaged or was changed"):
            ledger.find("k")
        file.execute(f"UPDATE replies SET {column} = ?", (old,))
        file.commit()
        file.close()
    assert ledger.find("k") == FULL


def test_a_file_that_is_no_ledger_is_refused(tmp_path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(CorruptError, match="damaged"):
        Ledger(path).find("k")


def test_a_ledger_of_another_version_is_refused(ledger) -> None:
    ledger.keep("k", FULL)
    ledger.close()
    file = sqlite3.connect(ledger.path)
    file.execute("PRAGMA user_version = 99")
    file.close()
    with pytest.raises(ChangedError, match="another version"):
        ledger.find("k")


def test_a_folder_that_cannot_be_written_is_a_store_error(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot"):
        Ledger(tmp_path / "file" / "ledger.db").find("k")
    with pytest.raises(StoreError, match="cannot"):
        Ledger(Path(tmp_path)).find("k")


def test_an_export_holds_every_reply_by_key(ledger, tmp_path) -> None:
    for n in range(2500):
        ledger.keep(f"{n:05}", Reply(f"reply {n}", input_tokens=n))
    ledger.keep("odd", Reply("half \ud83d", "m", "r", "stop", None, None, None, 2.0))
    path = tmp_path / "out" / "ledger.parquet"
    assert ledger.export(path) == 2501
    rows = pq.read_table(path).to_pylist()
    assert [row["key"] for row in rows] == sorted(row["key"] for row in rows)
    assert rows[7]["text"] == "reply 7"
    assert rows[7]["input_tokens"] == 7
    assert rows[-1] == {
        "key": "odd", "text": "half \\ud83d", "model": "m", "revision": "r",
        "finish_reason": "stop", "input_tokens": None, "output_tokens": None, "cost": None,
        "seconds": 2.0,
    }  # fmt: skip
    assert [each.name for each in path.parent.iterdir()] == ["ledger.parquet"]


def test_an_export_reads_few_pictures_at_a_time(ledger, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("editloop.chat.ledger._EXPORTED_BYTES", 25)
    for name, size in (("a", 10), ("b", 10), ("c", 10), ("d", 99), ("e", 1)):
        ledger.keep(name, Reply("x" * size))
    assert [[key for key, *_ in rows] for rows in ledger._pages()] == [
        ["a", "b"],
        ["c"],
        ["d"],
        ["e"],
    ]
    assert ledger.export(tmp_path / "l.parquet") == 5


def test_an_empty_ledger_exports_an_empty_table(ledger, tmp_path) -> None:
    assert ledger.export(tmp_path / "none.parquet") == 0
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0
