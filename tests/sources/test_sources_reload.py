import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from editloop.errors import ChangedError, StoreError
from editloop.images.codec import decode
from editloop.kernel.steps import Keep
from editloop.registry import create
from editloop.schema import EditSample, Provenance
from editloop.sources.reload import reload
from odd_images import saved, smooth


def samples(kind: str, **settings: Any) -> list[EditSample]:
    source = create("source", kind, settings)
    outcomes = source.load(list(source.items()))
    assert all(isinstance(outcome, Keep) for outcome in outcomes)
    return [outcome.samples[0] for outcome in outcomes]


def provenance(sample: EditSample) -> Provenance:
    assert sample.provenance is not None
    return sample.provenance


@pytest.mark.parametrize("size", [0, 48])
def test_photos_come_back_as_the_same_pixels(size: int) -> None:
    for sample in samples("photos", train=12, heldout=6, size=size):
        assert np.array_equal(reload(provenance(sample)), decode(sample.source.bytes))


@pytest.mark.parametrize("settings", [{}, {"size": 10}, {"max_side": 9}])
def test_files_come_back_as_the_same_pixels(tmp_path: Path, settings: dict[str, int]) -> None:
    for name, kind in (("a b%20#?.jpg", "JPEG"), ("e\u0301.gif", "GIF"), ("\udcff.png", "PNG")):
        (tmp_path / name).write_bytes(saved(smooth(), kind))
    made = samples("folder", path=str(tmp_path), **settings)
    assert len(made) == 3
    for sample in made:
        assert np.array_equal(reload(provenance(sample)), decode(sample.source.bytes))


def test_reloaded_pixels_may_be_written_to() -> None:
    made = provenance(samples("photos", train=1, heldout=0, size=0)[0])
    first = reload(made)
    first[:] = 0
    assert reload(made).any()


def test_a_file_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(saved(smooth(), "PNG"))
    (sample,) = samples("folder", path=str(tmp_path))
    (tmp_path / "a.png").unlink()
    with pytest.raises(ChangedError, match=r"missing: .*a\.png\n.*restore it"):
        reload(provenance(sample))


def test_a_file_that_changed_is_said_to_have(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(saved(smooth(), "PNG"))
    (sample,) = samples("folder", path=str(tmp_path))
    (tmp_path / "a.png").write_bytes(saved(smooth()[::-1].copy(), "PNG"))
    with pytest.raises(ChangedError, match=r"changed since .*a\.png"):
        reload(provenance(sample))


@pytest.mark.parametrize(
    "changes",
    [
        {"source_uri": None},
        {"parameters": {}},
        {"source_uri": "photos:nobody"},
        {"source_uri": "x"},
    ],
)
def test_a_record_that_names_no_picture_is_refused(changes: dict[str, Any]) -> None:
    made = provenance(samples("photos", train=1, heldout=0)[0])
    with pytest.raises(StoreError, match="provenance"):
        reload(dataclasses.replace(made, **changes))


def test_a_record_without_the_files_hash_reads_no_file(tmp_path: Path) -> None:
    """A provenance may be somebody else's, and name any file."""
    (tmp_path / "a.png").write_bytes(saved(smooth(), "PNG"))
    (sample,) = samples("folder", path=str(tmp_path))
    made = provenance(sample)
    crop = {"crop": made.parameters["crop"]}
    with pytest.raises(ChangedError, match="changed"):
        reload(dataclasses.replace(made, parameters=crop))
