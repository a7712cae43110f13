"""A checkpoint in diffusers' layout, through a whole protocol: single- and multi-turn."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline
from PIL import Image

from editloop.evaluation.evaluate import evaluate
from editloop.images.codec import decode
from editloop.schema import Pixels
from evaluation_cards import own_card
from magicbrush_data import make_split
from tiny_pipelines import save_instruct_pix2pix

pytestmark = pytest.mark.slow

EDITING = {"steps": 2, "text_guidance": 7.5, "image_guidance": 1.5}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    save_instruct_pix2pix(folder)
    return folder


def plain(checkpoint: Path, image: Pixels, turn: int) -> Pixels:
    """Return the edit that diffusers' own pipeline makes with the seed of the run."""
    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(
        checkpoint, safety_checker=None, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(
        f"make it change {turn}",
        image=Image.fromarray(image),
        num_inference_steps=EDITING["steps"],
        guidance_scale=EDITING["text_guidance"],
        image_guidance_scale=EDITING["image_guidance"],
        generator=torch.Generator().manual_seed(0),  # that of every edit of a run
    ).images[0]
    return np.asarray(made)


def test_a_checkpoint_edits_single_and_multi_turn_as_plain_diffusers_does(
    checkpoint: Path, tmp_path: Path
) -> None:
    data = make_split(tmp_path / "data", (2,), size=64)
    card = own_card(tmp_path, editing={**EDITING, "size": {"long_side": 64, "multiple": 64}})
    results = evaluate(
        card, data, [f"tiny=diffusion:{checkpoint}"], tmp_path / "out", metrics=["l1"]
    )
    assert results["evaluation"]["magicbrush/final-turn"]["tiny"]["l1"]["coverage"] == 1

    def made(name: str) -> Pixels:
        path = tmp_path / "out/evaluation/card/tiny/100" / f"100_{name}.png"
        return decode(path.read_bytes())

    def truth(name: str) -> Pixels:
        return decode((data / "images/100" / f"100-{name}.png").read_bytes())

    expected = {
        "1": plain(checkpoint, truth("input"), 1),
        "inde_2": plain(checkpoint, truth("output1"), 2),
        "iter_2": plain(checkpoint, made("1"), 2),
    }
    for name, pixels in expected.items():
        assert np.abs(made(name).astype(int) - pixels).max() <= 1, name
    assert np.abs(made("inde_2").astype(int) - made("iter_2")).max() > 1
