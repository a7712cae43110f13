"""Table files: Arrow as saved by `datasets`, WebDataset's tar, and the split of each file."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tracemalloc
from pathlib import Path

import datasets
import pytest

from editloop.errors import CorruptError
from editloop.sources import stored_arrow, stored_tar
from editloop.sources.layouts import open_layout
from editloop.sources.table_files import gaps, split_files
from layout_folders import parquet, png, put
from published_folders import UNICODE, web_dataset

IMAGE = {"bytes": b"png", "path": "a.png"}


def saved(folder: Path, count: int = 40) -> Path:
    """A data set with pictures, saved by `datasets`."""
    rows = [
        {"source": {"bytes": png(shade=at % 9), "path": None}, "edit": f"{at}"}
        for at in range(count)
    ]
    features = datasets.Features({"source": datasets.Image(), "edit": datasets.Value("string")})
    datasets.Dataset.from_list(rows, features=features).save_to_disk(str(folder))
    (path,) = folder.glob("*.arrow")
    return path


def test_rows_that_datasets_saved_are_read(tmp_path: Path) -> None:
    rows = list(stored_arrow.all_rows(saved(tmp_path / "set")))
    assert [row["edit"] for row in rows] == [str(at) for at in range(40)]
    assert rows[3]["source"]["bytes"] == png(shade=3)


def test_arrow_rows_are_listed_with_stand_ins(tmp_path: Path) -> None:
    rows = list(stored_arrow.rows_without_pictures(saved(tmp_path / "set", 2)))
    assert rows[1] == {"source": {"bytes": b"", "path": None}, "edit": "1"}


def test_a_few_arrow_rows_are_found_by_number(tmp_path: Path) -> None:
    found = stored_arrow.rows_at(saved(tmp_path / "set"), [30, 2, 99])
    assert {at: row["edit"] for at, row in found} == {2: "2", 30: "30"}


def test_a_damaged_arrow_file_is_corrupt(tmp_path: Path) -> None:
    put(tmp_path / "a.arrow", b"no arrow file at all")
    with pytest.raises(CorruptError, match="Arrow"):
        list(stored_arrow.all_rows(tmp_path / "a.arrow"))


def test_a_samples_files_are_a_row(tmp_path: Path) -> None:
    files = {
        "source.png": b"png",
        "edit.txt": f"{UNICODE}\n",
        "json": json.dumps({"n": 1}),
        "npy": b"x",
    }
    web_dataset(tmp_path / "a.tar", [files, {"jpg": b"jpeg"}])
    first, second = stored_tar.all_rows(tmp_path / "a.tar")
    assert first == {
        "key": "000000",
        "source": {"bytes": b"png", "path": "000000.source.png"},
        "edit": UNICODE,
        "n": 1,
    }
    assert second == {"key": "000001", "jpg": {"bytes": b"jpeg", "path": "000001.jpg"}}


def test_a_few_samples_of_a_shard_are_found_by_number(tmp_path: Path) -> None:
    web_dataset(tmp_path / "a.tar", [{"jpg": f"{at}"} for at in range(9)])
    found = stored_tar.rows_at(tmp_path / "a.tar", [7, 1])
    assert {at: row["jpg"]["bytes"] for at, row in found} == {1: b"1", 7: b"7"}
    light = list(stored_tar.rows_without_pictures(tmp_path / "a.tar"))
    assert [row["jpg"]["bytes"] for row in light if isinstance(row, dict)] == [b""] * 9


@pytest.mark.parametrize(
    ("suffix", "data", "fault"),
    [("json", "{", "its json is not JSON"), ("edit.txt", b"\xff", "its edit is no UTF-8")],
)
def test_a_sample_that_cannot_be_read_says_why(
    tmp_path: Path, suffix: str, data: bytes | str, fault: str
) -> None:
    web_dataset(tmp_path / "a.tar", [{suffix: data}, {"txt": "fine"}])
    first, second = stored_tar.all_rows(tmp_path / "a.tar")
    assert isinstance(first, str)
    assert first.startswith(fault)
    assert second == {"key": "000001", "txt": "fine"}


def test_a_shard_that_is_cut_off_is_corrupt(tmp_path: Path) -> None:
    web_dataset(tmp_path / "a.tar", [{"jpg": b"x" * 5000}, {"jpg": b"y" * 5000}])
    data = (tmp_path / "a.tar").read_bytes()
    put(tmp_path / "a.tar", data[:7000])
    with pytest.raises(CorruptError, match="tar"):
        list(stored_tar.all_rows(tmp_path / "a.tar"))


def joined(folder: Path) -> Path:
    """Two shards of two samples each, joined by `cat`; the second has other keys."""
    web_dataset(folder / "b.tar", [{"jpg": b"x" * 900}, {"jpg": b"y" * 900}])
    web_dataset(folder / "c.tar", [{}, {}, {"jpg": b"z" * 900}, {"jpg": b"w" * 900}])
    parts = [folder / "b.tar", folder / "c.tar"]
    put(folder / "joined/a.tar", b"".join(part.read_bytes() for part in parts))
    return folder / "joined/a.tar"


def test_shards_that_cat_joined_are_read_whole(tmp_path: Path) -> None:
    path = joined(tmp_path)
    rows = [row for row in stored_tar.all_rows(path) if isinstance(row, dict)]
    assert [row["key"] for row in rows] == ["000000", "000001", "000002", "000003"]
    assert [row["jpg"]["bytes"][:1] for row in rows] == [b"x", b"y", b"z", b"w"]
    assert dict(stored_tar.rows_at(path, [3]))[3]["jpg"]["bytes"] == b"w" * 900
    assert len(list(stored_tar.rows_without_pictures(path))) == 4


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data + b"no archive" * 99, "data after the end mark"),
        (lambda data: data[:1024], "without an end mark"),  # cut between two files
        (lambda data: data[:1024] + b"\xff" * 512 + data[1536:], "data after the end mark"),
        (lambda data: data[:1500], "data after the end mark"),
        (lambda data: data[:2000], "unexpected end of data"),
    ],
)
def test_what_a_shard_would_lose_in_silence_is_an_error(tmp_path: Path, damage, said: str) -> None:
    web_dataset(tmp_path / "a.tar", [{"jpg": b"x" * 400}, {"jpg": b"y" * 400}])
    put(tmp_path / "a.tar", damage((tmp_path / "a.tar").read_bytes()))
    with pytest.raises(CorruptError, match=said):
        list(stored_tar.all_rows(tmp_path / "a.tar"))


def test_a_compressed_shard_is_named_not_left_out(tmp_path: Path) -> None:
    web_dataset(tmp_path / "a.tar", [{"source.png": png(), "txt": "go"}])
    assert open_layout("table", tmp_path, map={"instruction": "txt"}).problems() == []
    packed = gzip.compress((tmp_path / "a.tar").read_bytes())
    put(tmp_path / "b.tar.zst", b"x")
    (problem,) = open_layout("table", tmp_path, map={"instruction": "txt"}).problems()
    assert problem.where == "b.tar.zst"
    assert "compression" in problem.cause
    put(tmp_path / "a.tar", packed[:200])
    with pytest.raises(CorruptError, match="not compressed"):
        list(stored_tar.all_rows(tmp_path / "a.tar"))
    put(tmp_path / "gz" / "a.tar.gz", packed)
    assert open_layout("table", tmp_path / "gz", map={"instruction": "txt"}).problems() == []


def test_an_incomplete_first_sample_costs_only_itself(tmp_path: Path) -> None:
    whole = {"source.png": png(), "txt": "go"}
    web_dataset(tmp_path / "a.tar", [{"txt": "go"}, whole, whole])
    (problem,) = open_layout("table", tmp_path, map={"instruction": "txt"}).problems()
    assert (problem.where, problem.cause) == ("a.tar row 0", "it has no source")


def shard(path: Path, names: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as made:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            made.addfile(info, io.BytesIO(name.encode()))


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (["1.jpg", "2.jpg", "2.txt", "1.txt"], ["2", "1"]),
        (["a.1.jpg", "a.1.txt", "a.2.jpg", "a.2.txt"], ["a.1", "a.2"]),
        (["a.v2.jpg", "a.v2.txt", "b.v2.jpg", "b.v2.txt"], ["a.v2", "b.v2"]),
    ],
)
def test_unsorted_files_and_dotted_keys_are_whole_samples(
    tmp_path: Path, names: list[str], keys: list[str]
) -> None:
    shard(tmp_path / "a.tar", names)
    rows = [row for row in stored_tar.all_rows(tmp_path / "a.tar") if isinstance(row, dict)]
    assert [row["key"] for row in rows] == keys
    for row in rows:
        assert row["jpg"]["bytes"].decode() == f"{row['key']}.jpg"
        assert row["txt"] == f"{row['key']}.txt"
    ((at, second),) = stored_tar.rows_at(tmp_path / "a.tar", [1])
    assert (at, second) == (1, rows[1])


def test_a_file_that_is_given_twice_is_a_fault_of_its_sample(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", ["1.jpg", "1.jpg", "2.jpg"])
    first, second = stored_tar.all_rows(tmp_path / "a.tar")
    assert first == "it has 2 files 1.jpg"
    assert isinstance(second, dict)


def test_tables_of_several_formats_are_chosen(tmp_path: Path) -> None:
    """As img2dataset writes them: a shard, and its facts as Parquet and JSON beside it."""
    web_dataset(tmp_path / "00000.tar", [{"source.png": png(), "txt": "go"}])
    parquet(tmp_path / "00000.parquet", [{"url": "https://a.b/c.png", "caption": "go"}])
    put(tmp_path / "00000_stats.json", "{}")
    options = {"map": {"instruction": "txt"}}
    (problem,) = open_layout("table", tmp_path, **options).problems()
    assert problem.fix == "choose one: table?format=parquet or table?format=tar"
    assert open_layout("table", tmp_path, format="tar", **options).problems() == []


@pytest.mark.parametrize("samples", [20, 320])
def test_reading_a_shard_takes_the_memory_of_a_sample(tmp_path: Path, samples: int) -> None:
    web_dataset(tmp_path / "a.tar", [{"jpg": b"x" * 100_000}] * samples)
    tracemalloc.start()
    try:
        for _ in stored_tar.all_rows(tmp_path / "a.tar"):
            pass
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (
            ["data/dev-00000-of-00001.parquet", "data/train-00000-of-00001-0a.parquet"],
            ["dev", "train"],
        ),
        (["part.parquet"], [""]),
        (["train-000000.tar", "val-000000.tar"], ["train", "val"]),
        (["shard-000000.tar", "shard-000001.tar"], [""]),
        (["data-00000-of-00001.arrow", "cache-0a.arrow"], [""]),
        (["test/data-00000-of-00001.arrow", "train/data-00000-of-00001.arrow"], ["test", "train"]),
        (["parquet-train.arrow", "parquet-test-00000-of-00001.arrow"], ["test", "train"]),
    ],
)
def test_a_files_name_or_folder_tells_its_split(
    tmp_path: Path, names: list[str], splits: list[str]
) -> None:
    for name in names:
        put(tmp_path / name, b"")
    assert sorted(split_files(tmp_path)) == splits


def test_missing_files_of_a_split_are_named(tmp_path: Path) -> None:
    paths = [tmp_path / f"FreeForm-{at:05d}-of-00003.parquet" for at in (0, 2)]
    assert [each.where for each in gaps(paths)] == ["FreeForm-00001-of-00003.parquet"]
