"""Committed shards: first wins, verified on reading, orphans swept, laid out for `datasets`."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from editloop.errors import CorruptError, StoreError
from editloop.schema import EditSample, Score
from editloop.storage.commits import ShardKey
from editloop.storage.files import Files
from editloop.storage.locks import shared_lock
from editloop.storage.parquet import GROUP_ROWS, SplitWriter, content_bytes, pieces, read_batches
from editloop.storage.samples import arrow_schema, published_files, read_samples, to_row
from editloop.storage.shards import ShardStore
from kernel_faults import CountingFiles
from kernel_parts import picture


def table(count: int = 3, size: int = 300) -> pa.Table:
    samples = [
        EditSample(f"s{index}", picture(str(index), size), scores={"quality": Score(4.0)})
        for index in range(count)
    ]
    return pa.Table.from_pylist([to_row(sample) for sample in samples], arrow_schema())


@pytest.fixture
def store(tmp_path: Path) -> ShardStore:
    return ShardStore(tmp_path / "part")


def data_file(store: ShardStore) -> Path:
    return next((store.folder / "files").glob("*@data@*"))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


def test_a_commit_reads_back(store: ShardStore) -> None:
    made = store.commit("a", {"data": table()}, fingerprint="f", facts={"in": 3})
    found = store.find("a", "f")
    assert found == made
    assert found.facts == {"in": 3}
    assert found.files["data"].rows == 3
    assert pa.Table.from_batches(store.read(found)) == table()


def test_a_shard_that_is_not_committed_is_not_found(store: ShardStore) -> None:
    store.commit("a", {"data": table()}, fingerprint="f")
    assert store.find("a", "other") is None
    assert store.find("b", "f") is None


def test_the_first_commit_wins(store: ShardStore) -> None:
    first = store.commit("a", {"data": table(2)}, fingerprint="f")
    second = store.commit("a", {"data": table(3)}, fingerprint="f")
    assert second == first
    assert [path.name for path in (store.folder / "files").iterdir()] == [first.files["data"].path]


def test_of_many_commits_at_once_one_wins(store: ShardStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(lambda n: store.commit("a", {"data": table(n)}, fingerprint="f"), range(1, 9))
        )
    assert len({commit.files["data"].path for commit in made}) == 1
    assert len(list((store.folder / "files").iterdir())) == 1
    assert store.verify() == []


def test_records_hold_no_times_and_equal_work_gives_equal_hashes(tmp_path: Path) -> None:
    one, two = (
        ShardStore(tmp_path / name).commit("a", {"data": table()}, fingerprint="f")
        for name in ("one", "two")
    )
    assert one.files["data"].sha256 == two.files["data"].sha256
    assert set(one.to_json()) == {"key", "files", "facts"}


def test_a_newer_generation_replaces_the_older(store: ShardStore) -> None:
    store.commit("a", {"data": table(2)}, fingerprint="f")
    store.commit("a", {"data": table(3)}, fingerprint="f", generation=1)
    assert store.keys() == {ShardKey("a", "f", 0), ShardKey("a", "f", 1)}
    assert [commit.files["data"].rows for commit in store.commits()] == [3]


def test_an_odd_shard_name_is_refused(store: ShardStore) -> None:
    with pytest.raises(StoreError, match="cannot be used as a file name"):
        store.commit("a/b", {"data": table()}, fingerprint="f")


@pytest.mark.parametrize("part", [0.01, 0.3, 0.7, 0.999])
def test_a_flipped_byte_is_found_on_reading(store: ShardStore, part: float) -> None:
    commit = store.commit("a", {"data": table()}, fingerprint="f")
    path = data_file(store)
    flip(path, int(part * path.stat().st_size))
    with pytest.raises(CorruptError, match="differs"):
        list(store.read(commit))


def test_a_missing_file_is_found_on_reading(store: ShardStore) -> None:
    commit = store.commit("a", {"data": table()}, fingerprint="f")
    data_file(store).unlink()
    with pytest.raises(CorruptError, match="missing"):
        list(store.read(commit))


def test_a_record_under_another_name_is_refused(store: ShardStore) -> None:
    store.commit("a", {"data": table()}, fingerprint="f")
    commits = store.folder / "commits"
    (commits / "a@f@0.json").rename(commits / "b@f@0.json")
    with pytest.raises(CorruptError, match="file name of another"):
        store.find("b", "f")


def test_verify_is_content_with_what_was_committed(store: ShardStore) -> None:
    store.commit("a", {"data": table(), "rejects": table(1)}, fingerprint="f")
    assert store.verify() == []


def test_a_sweep_removes_what_no_record_names(store: ShardStore) -> None:
    store.commit("a", {"data": table()}, fingerprint="f")
    kept = {path.name for path in store.folder.rglob("*.parquet")}
    for orphan in ("b@f@0@data@123.parquet", "a@f@0@data@123.parquet", ".tmp-123"):
        (store.folder / "files" / orphan).touch()
    (store.folder / "commits" / ".tmp-123").touch()
    store.sweep()
    assert {path.name for path in (store.folder / "files").iterdir()} == kept
    assert [path.name for path in (store.folder / "commits").iterdir()] == ["a@f@0.json"]


def test_a_sweep_leaves_everything_while_another_commits(store: ShardStore) -> None:
    store.commit("a", {"data": table()}, fingerprint="f")
    orphan = store.folder / "files" / "b@f@0@data@123.parquet"
    orphan.touch()
    with shared_lock(store.folder / "attempts.lock"):
        store.sweep()
    assert orphan.exists()


def test_a_sweep_keeps_only_the_commits_it_is_told_to(store: ShardStore) -> None:
    for generation in (0, 1):
        store.commit("a", {"data": table()}, fingerprint="f", generation=generation)
    store.sweep(frozenset({ShardKey("a", "f", 1)}))
    assert store.keys() == {ShardKey("a", "f", 1)}
    assert len(list((store.folder / "files").iterdir())) == 1
    assert store.verify() == []


@pytest.mark.slow
def test_finding_ten_thousand_shards_takes_one_listing(store: ShardStore) -> None:
    commits = store.folder / "commits"
    commits.mkdir(parents=True)
    for index in range(10_000):
        os.close(os.open(commits / f"train-{index:05d}@f@0.json", os.O_CREAT))
    files = CountingFiles()
    found = ShardStore(store.folder, files).keys()
    assert len(found) == 10_000
    assert files.counts == dict.fromkeys(files.counts, 0) | {"names": 1}


def test_pictures_lie_plain_and_uncompressed(store: ShardStore) -> None:
    store.commit("a", {"data": table(5)}, fingerprint="f")
    group = pq.ParquetFile(data_file(store)).metadata.row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    pictures = [column for column in columns if column.path_in_schema.endswith(".bytes")]
    assert len(pictures) == 4  # source, target, mask and references
    for column in pictures:
        assert column.compression == "UNCOMPRESSED"
        assert set(column.encodings) <= {"PLAIN", "RLE"}  # RLE: which values are null
    texts = {column.compression for column in columns if column not in pictures}
    assert texts == {"ZSTD"}


def test_pages_carry_checksums(store: ShardStore) -> None:
    store.commit("a", {"data": table(5, size=3000)}, fingerprint="f")
    path = data_file(store)
    at = path.read_bytes().index(picture("3", 3000).bytes)
    flip(path, at + 1500)
    assert pq.read_table(path).num_rows == 5  # checksums are not verified by default
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(path, page_checksum_verification=True)


def test_a_python_file_is_read_by_the_calling_thread_alone(tmp_path: Path) -> None:
    class Watched(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            readers.add(threading.get_ident())
            return super().read(size)

    readers = set[int]()
    path = tmp_path / "file.parquet"
    pq.write_table(table(300), path)
    rows = sum(batch.num_rows for batch in read_batches(Watched(path.read_bytes()), path))
    assert (rows, readers) == (300, {threading.get_ident()})


def test_row_groups_hold_at_most_a_hundred_rows(store: ShardStore) -> None:
    store.commit("a", {"data": table(230)}, fingerprint="f")
    metadata = pq.ParquetFile(data_file(store)).metadata
    rows = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    assert sum(rows) == 230
    assert max(rows) <= GROUP_ROWS


def test_row_groups_hold_at_most_64_megabytes() -> None:
    large = table(9, size=15_000_000)
    parts = list(pieces(large))
    assert max(content_bytes(part) for part in parts) <= 64_000_000
    assert pa.concat_tables(parts) == large


def test_a_large_split_becomes_several_files(tmp_path: Path) -> None:
    writer = SplitWriter(Files(), tmp_path, "train", arrow_schema(), file_bytes=50_000)
    for _ in range(15):
        writer.add(table(4, size=5000))
    writer.finish()
    paths = published_files(tmp_path, "train")
    assert [path.name for path in paths] == [f"train-0000{i}-of-00008.parquet" for i in range(8)]
    assert max(path.stat().st_size for path in paths) < 60_000
    assert len(list(read_samples(tmp_path, "train"))) == 60


def test_a_split_is_not_mistaken_for_another(tmp_path: Path) -> None:
    for split, rows in (("train", 3), ("train-clean", 2)):
        writer = SplitWriter(Files(), tmp_path, split, arrow_schema())
        writer.add(table(rows))
        writer.finish()
    assert len(list(read_samples(tmp_path, "train"))) == 3
    assert len(list(read_samples(tmp_path, "train-clean"))) == 2


def test_a_split_that_lacks_a_file_is_refused(tmp_path: Path) -> None:
    writer = SplitWriter(Files(), tmp_path, "train", arrow_schema(), file_bytes=50_000)
    for _ in range(3):
        writer.add(table(8, size=5000))
    writer.finish()
    published_files(tmp_path, "train")[1].unlink()
    with pytest.raises(StoreError, match="no complete split"):
        next(read_samples(tmp_path, "train"))
