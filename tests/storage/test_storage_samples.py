"""Records survive storage unchanged, and other tools see images in them."""

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from skimage.io import imsave

from editloop.schema import EditSample, EditType, Image, Provenance, Score, Unscored
from editloop.storage.samples import arrow_schema, from_row, required_columns, to_row


def full_sample() -> EditSample:
    return EditSample(
        id="photos/chelsea/1",
        source=Image(b"source", "a.png"),
        instruction="make the ball red \U0001f534 e\u0301 \u05d0",
        target=Image(b"target"),
        mask=Image(b"mask"),
        edit_type=EditType.LOCAL,
        edit_object="ball",
        source_caption="a cat",
        target_caption="a cat with a red ball",
        inverse_instruction="make the ball blue",
        session="s",
        turn=2,
        parent_id="photos/chelsea",
        scores={"following": Score(4.5, True, "None", "1"), "quality": Unscored("refused", "2")},
        provenance=Provenance(
            "darkroom", "1", 7, {"edit": {"x": [1, 2.5]}}, "CC0", "photos:chelsea"
        ),
    )


@pytest.mark.parametrize("sample", [full_sample(), EditSample("bare", Image(b"x"))])
def test_a_sample_survives_its_row(sample: EditSample) -> None:
    table = pa.Table.from_pylist([to_row(sample)], schema=arrow_schema())
    assert from_row(table.to_pylist()[0]) == sample


def test_datasets_sees_images_and_scores(tmp_path) -> None:
    import numpy as np

    picture = tmp_path / "a.png"
    imsave(picture, np.full((5, 7, 3), 9, np.uint8), check_contrast=False)
    sample = EditSample("a", Image(picture.read_bytes()), scores={"l1": Score(0.5)})
    pq.write_table(
        pa.Table.from_pylist([to_row(sample)], schema=arrow_schema()), tmp_path / "a.parquet"
    )
    loaded = datasets.Dataset.from_parquet(
        str(tmp_path / "a.parquet"), cache_dir=str(tmp_path / "cache")
    )
    assert loaded[0]["source"].size == (7, 5)
    assert loaded[0]["scores"][0]["value"] == 0.5


def test_scores_add_no_column() -> None:
    assert set(to_row(full_sample())) == set(required_columns()) < set(arrow_schema().names)
