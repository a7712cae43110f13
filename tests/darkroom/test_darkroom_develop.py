"""Records are enough to render a sample's pictures again, byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from editloop.darkroom.develop import replay, replay_faulty
from editloop.errors import StoreError
from editloop.images.codec import encode_png
from editloop.kernel.steps import Keep, StepContext
from editloop.registry import create
from editloop.schema import EditSample, Json
from editloop.storage.samples import arrow_schema, from_row, to_row


def _made(settings: Mapping[str, Json], split: str = "train", count: int = 8) -> list[EditSample]:
    source = create("source", "photos", {"size": 64, "train": count, "heldout": count})
    items = [item for item in source.items() if item.split == split]
    photos = [out.samples[0] for out in source.load(items) if isinstance(out, Keep)]
    step = create("build", "darkroom", settings)
    step.setup(StepContext(seed=3, split=split))
    return [s for out in step.process(photos) if isinstance(out, Keep) for s in out.samples]


def _stored(sample: EditSample) -> EditSample:
    """Return the sample as read back from a shard."""
    table = pa.Table.from_pylist([to_row(sample)], schema=arrow_schema())
    return from_row(table.to_pylist()[0])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_clean_record_replays_to_the_stored_bytes(share: float) -> None:
    for sample in map(_stored, _made({"session_share": {"heldout": share}}, "heldout")):
        assert sample.provenance is not None
        assert sample.target is not None
        assert sample.mask is not None
        made = replay(sample.provenance)
        assert encode_png(made.source) == sample.source.bytes
        assert encode_png(made.target) == sample.target.bytes
        assert encode_png(made.mask) == sample.mask.bytes


def test_a_faulty_record_replays_to_the_stored_target() -> None:
    for sample in map(_stored, _made({"fault_rate": {"train": 1.0}})):
        assert sample.provenance is not None
        assert sample.target is not None
        assert encode_png(replay_faulty(sample.provenance)) == sample.target.bytes


def test_replay_knows_the_truth_behind_a_faulty_target() -> None:
    clean = _made({"fault_rate": {"train": 0.0}})
    faulty = _made({"fault_rate": {"train": 1.0}})
    for good, bad in zip(clean, faulty, strict=True):
        assert bad.provenance is not None
        assert good.target is not None
        assert encode_png(replay(bad.provenance).target) == good.target.bytes
        assert bad.target != good.target


def test_another_darkrooms_record_is_refused() -> None:
    record = _made({}, count=1)[0].provenance
    assert record is not None
    for other in (replace(record, revision="0"), replace(record, generator="other")):
        with pytest.raises(StoreError, match="not made by this darkroom"):
            replay(other)


def test_outside_its_mask_a_replayed_target_is_the_source() -> None:
    for sample in _made({}, "heldout"):
        assert sample.provenance is not None
        made = replay(sample.provenance)
        outside = made.mask == 0
        assert np.array_equal(made.source[outside], made.target[outside])
