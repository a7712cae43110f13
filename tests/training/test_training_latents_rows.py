"""A published split's samples by number, over files and row groups."""

import pickle

import pyarrow.parquet as pq
import pytest

from editloop.errors import CorruptError, StoreError
from editloop.schema import Image
from editloop.training.rows import PublishedRows, RowReader
from latent_data import published_rows, varied

SAMPLES = varied(9)


@pytest.fixture
def rows(tmp_path):
    """Nine samples in two files, in row groups of two."""
    published_rows(tmp_path, SAMPLES)
    whole = tmp_path / "data" / "train-00000-of-00001.parquet"
    table = pq.read_table(whole)
    whole.unlink()
    for number, (start, stop) in enumerate([(0, 5), (5, 9)]):
        path = tmp_path / "data" / f"train-{number:05d}-of-00002.parquet"
        pq.write_table(table.slice(start, stop - start), path, row_group_size=2)
    return PublishedRows.of(tmp_path / "data", "train")


@pytest.mark.parametrize(("start", "stop"), [(0, 9), (0, 1), (1, 4), (4, 6), (8, 9), (3, 3)])
def test_any_run_of_samples_can_be_streamed(rows, start, stop) -> None:
    assert len(rows) == 9
    assert list(rows.stream(start, stop)) == SAMPLES[start:stop]


def test_texts_come_without_pictures(rows) -> None:
    for sample, whole in zip(rows.stream(3, 7, pictures=False), SAMPLES[3:7], strict=True):
        assert (sample.id, sample.instruction) == (whole.id, whole.instruction)
        assert sample.scores == whole.scores
        assert (sample.source, sample.target) == (Image(b""), None)


def test_samples_are_read_in_the_order_asked_for(rows) -> None:
    assert RowReader(rows).read([8, 0, 4, 0, 5]) == [SAMPLES[number] for number in (8, 0, 4, 0, 5)]


def test_rows_are_names_and_numbers(rows) -> None:
    assert len(pickle.dumps(rows)) < 1000
    assert pickle.loads(pickle.dumps(rows)) == rows


def test_an_absent_split_is_explained(tmp_path) -> None:
    with pytest.raises(StoreError, match="no complete split"):
        PublishedRows.of(tmp_path, "train")


def test_a_file_that_is_no_parquet_is_named(tmp_path) -> None:
    (tmp_path / "train-00000-of-00001.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(CorruptError, match="train-00000"):
        PublishedRows.of(tmp_path, "train")
