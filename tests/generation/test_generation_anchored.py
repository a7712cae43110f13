"""The step `anchored`: targets from photos, with the photo or a generated picture as the source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from editloop.errors import RecipeError
from editloop.generation.anchored import Anchored
from editloop.images.codec import decode, encode_png
from editloop.kernel.steps import Fail, Keep, StepContext
from editloop.registry import create
from editloop.schema import EditSample, Image, Provenance
from editloop.sources.crops import Crop
from tiny_baselines import save_stable_diffusion
from tiny_pipelines import tiny_unet

# diffusers' samplers hand tensors to NumPy in a way that NumPy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_stable_diffusion(tmp_path_factory.mktemp("sd") / "model", tiny_unet())


def step(folder: Path, **settings: Any) -> Anchored:
    given = {"model": str(folder), "size": 16, "batch": 2, "steps": 5, **settings}
    made: Anchored = create("build", "anchored", given)
    made.setup(StepContext(0, "train"))
    return made


def photo(height: int, width: int, **fields: Any) -> EditSample:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    made = Provenance("photos", "1", parameters={"crop": {"x": 0}}, source_uri="photos:cat")
    captions = {"source_caption": "a cat on a mat", "target_caption": "a dog on a mat"}
    picture = Image(encode_png(pixels), "cat.png")
    return EditSample("a", picture, "make it a dog", provenance=made, **{**captions, **fields})


def kept(outcome: Any) -> tuple[EditSample, ...]:
    assert isinstance(outcome, Keep), outcome
    return outcome.samples


def test_a_square_photo_of_the_size_stays_the_source_to_the_byte(folder) -> None:
    given = photo(16, 16)
    made = kept(step(folder, candidates=3).process([given])[0])
    assert [each.id for each in made] == ["a/1", "a/2", "a/3"]
    assert len({each.target for each in made}) == 3
    for each in made:
        assert each.source == given.source
        assert each.provenance is not None
        facts = each.provenance.parameters
        assert (facts["steps"], facts["strength"], facts["effective_steps"]) == (5, 0.6, 3)
        assert facts["guidance"] == 1.0
        assert facts["crop"] == {"x": 0}
        share = facts["share"]
        assert facts["controlled_steps"] == {
            "cross": min(3, int(share * 4)),
            "self": int(share * 3),
        }


def test_other_photos_are_cut_to_the_middle_square(folder) -> None:
    given = photo(24, 40)
    assert given.source is not None
    (made,) = kept(step(folder).process([given])[0])
    assert made.source is not None
    wanted = Crop.centre(40, 24, 16).cut(decode(given.source.bytes))
    assert np.array_equal(decode(made.source.bytes), wanted)
    assert made.provenance is not None
    assert "crop" not in made.provenance.parameters
    assert made.provenance.source_uri == "photos:cat"


def test_both_pictures_can_be_generated_with_the_same_target(folder) -> None:
    given = photo(16, 16)
    (usual,) = kept(step(folder).process([given])[0])
    (made,) = kept(step(folder, source="generated").process([given])[0])
    assert made.source is not None
    assert made.source != given.source
    assert made.target is not None
    assert usual.target is not None
    difference = decode(made.target.bytes).astype(int) - decode(usual.target.bytes)
    assert np.abs(difference).max() <= 1
    assert made.provenance is not None
    assert made.provenance.parameters["source"] == "generated"


def test_a_sample_without_a_photo_or_captions_is_refused_with_the_fix(folder) -> None:
    bare, silent = photo(16, 16), photo(16, 16, target_caption=None)
    outcomes = step(folder).process([_without(bare), silent])
    found = [each for each in outcomes if isinstance(each, Fail)]
    assert [each.code for each in found] == ["picture", "caption"]
    assert "prompt-to-prompt" in found[0].message
    assert "instruct-from-captions" in found[1].message


def _without(sample: EditSample) -> EditSample:
    return EditSample(
        "b", None, source_caption=sample.source_caption, target_caption=sample.target_caption
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 1}, "less than one step is sampled"),
        ({"steps": 3, "share": [0, 0.4]}, "controls none of 1 steps"),
        ({"guidance": [0.4, 0.8]}, "below 1 there is none"),
    ],
)
def test_settings_that_cannot_act_are_refused(folder, settings, words) -> None:
    with pytest.raises(RecipeError, match=words):
        step(folder, **settings)
