"""The step `picture`: sources of text-first samples, over HTTP and by a local pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import StableDiffusionPipeline

from editloop.chat.fake.faults import Fault
from editloop.errors import FailureClass, RecipeError, UnavailableError
from editloop.images.codec import decode
from editloop.kernel.build import Options, build
from editloop.kernel.resources import NETWORK, Resources
from editloop.kernel.steps import Fail, Keep, Outcome, StepContext
from editloop.kernel.tasks import StepSpec
from editloop.registry import create
from editloop.schema import EditSample
from editloop.storage.samples import read_samples
from image_worlds import image_world
from text_worlds import sample
from tiny_pipelines import (
    save_instruct_pix2pix,
    tiny_scheduler,
    tiny_text_encoder,
    tiny_unet,
    tiny_vae,
)
from tiny_tokenizer import make_clip_tokenizer


def text_first(name: str, caption: str = "a tabby cat") -> EditSample:
    return EditSample(name, source=None, instruction="make it sepia", source_caption=caption)


def made(outcome: Outcome) -> np.ndarray:
    assert isinstance(outcome, Keep)
    (kept,) = outcome.samples
    return decode(kept.source_image.bytes)


def step(folder: Path, generator: dict[str, Any], seed: int = 0) -> Any:
    own = create("build", "picture", {"generator": generator})
    own.setup(StepContext(seed, "train", folder))
    return own


def test_a_picture_over_http_is_recorded_and_one_that_is_there_is_kept(tmp_path: Path) -> None:
    there = sample("b")
    with image_world(tmp_path, Fault.FILTERED) as world:
        generator = {**world.settings, "kind": "images", "size": "64x48", "picture_price": 0.1}
        own = step(tmp_path, {**generator, "concurrency": 1})
        assert own.resources == NETWORK
        refused, kept, picture = own.process([text_first("a"), there, text_first("c")])
        assert own.process([text_first("c")]) == [picture]
        usage = own.usage(tmp_path)
        own.close()
        assert world.server.seen.requests == 2
    assert isinstance(refused, Fail)
    assert (refused.code, refused.failure) == ("refused", FailureClass.POLICY)
    assert kept == Keep((there,))
    assert made(picture).shape == (48, 64, 3)
    origin = picture.samples[0].provenance
    assert origin.parameters["size_asked"] == origin.parameters["size_got"] == "64x48"
    assert (usage.calls, usage.cost) == (1, 0.1)


def test_another_size_than_asked_for_is_recorded(tmp_path: Path) -> None:
    with image_world(tmp_path, Fault.CROPPED) as world:
        own = step(tmp_path, {**world.settings, "kind": "images", "size": "64x48"})
        (picture,) = own.process([text_first("a")])
        own.close()
    assert made(picture).shape == (36, 64, 3)
    parameters = picture.samples[0].provenance.parameters
    assert (parameters["size_asked"], parameters["size_got"]) == ("64x48", "64x36")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "sd"
    StableDiffusionPipeline(
        vae=tiny_vae(),
        text_encoder=tiny_text_encoder(),
        tokenizer=make_clip_tokenizer(folder / "tokenizer"),
        unet=tiny_unet(),
        scheduler=tiny_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def test_a_local_pipeline_makes_pictures_that_depend_on_caption_and_seed_alone(
    tmp_path: Path, pipeline: Path
) -> None:
    spec = {"kind": "text-to-image", "target": str(pipeline), "steps": 2, "size": "32x16"}
    own = step(tmp_path, {**spec, "batch": 2})
    assert own.resources == Resources(gpus=1, gpu_optional=True)
    rows = [text_first("a"), text_first("b"), text_first("a2", "a red car")]
    together = [made(each) for each in own.process(rows)]
    alone = [made(own.process([each])[0]) for each in rows]
    assert all(each.shape == (16, 32, 3) for each in together)
    assert all(np.array_equal(*pair) for pair in zip(together, alone, strict=True))
    assert not np.array_equal(together[0], together[1])
    other = step(tmp_path, {**spec, "batch": 2}, seed=1)
    assert not np.array_equal(together[0], made(other.process(rows[:1])[0]))


def test_a_pipeline_of_another_kind_is_refused_and_a_missing_one_named(tmp_path: Path) -> None:
    folder = save_instruct_pix2pix(tmp_path / "ip2p")
    own = step(tmp_path, {"kind": "text-to-image", "target": str(folder)})
    with pytest.raises(RecipeError, match="no pictures from text alone"):
        own.process([text_first("a")])
    with pytest.raises(UnavailableError):
        step(tmp_path, {"kind": "text-to-image", "target": str(tmp_path / "gone")})


def test_captions_become_a_data_set_with_pictures(tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("a tabby cat\na red motorcycle\n")
    sources = [StepSpec("source", "captions", "captions", {"path": str(tmp_path / "captions.txt")})]
    with image_world(tmp_path) as world:
        generator = {**world.settings, "kind": "images", "size": "64x64"}
        editor = {**world.settings, "kind": "images"}
        steps = [
            StepSpec("build", "picture", "picture", {"generator": generator}),
            StepSpec("build", "ask", f"{__name__}:Asking", {}),
            StepSpec("build", "edit", "edit", {"editor": editor}),
        ]
        build(sources, steps, out=tmp_path / "out", options=Options(workers=0))
        made_once = world.server.seen.requests
        build(sources, steps, out=tmp_path / "again", options=Options(workers=0))
        assert world.server.seen.requests == made_once == 4
    one, again = (
        list(read_samples(tmp_path / each / "data", "train")) for each in ("out", "again")
    )
    assert [each.source_caption for each in one] == ["a tabby cat", "a red motorcycle"]
    assert all(each.source is not None and each.target is not None for each in one)
    assert [each.target for each in one] == [each.target for each in again]


class Asking:
    """Gives every sample an instruction."""

    name = "asking"
    version = "1"
    parameters: dict[str, Any] = {}  # noqa: RUF012
    needs: frozenset[str] = frozenset()
    adds = frozenset({"instruction"})

    def setup(self, context: StepContext) -> None:
        pass

    def process(self, batch: list[EditSample]) -> list[Keep]:
        from dataclasses import replace

        return [Keep((replace(each, instruction="make it sepia"),)) for each in batch]
