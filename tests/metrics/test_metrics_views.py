"""An encoder's input equals that of the released transforms, to the last bit."""

import numpy as np
import pytest
import torch

from editloop.metrics.views import View, shorter_side
from editloop.runtime.seeding import generator
from released_rules import CLIP_MEAN, CLIP_STD, released_input

SIZES = [(224, 224), (300, 217), (217, 300), (512, 512), (97, 251), (1000, 333), (225, 224)]
MEANS = {"mean": tuple(CLIP_MEAN), "std": tuple(CLIP_STD)}


def picture(height: int, width: int) -> np.ndarray:
    return generator("views", height, width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("resize", [224, 256])
@pytest.mark.parametrize("size", SIZES)
def test_the_centre_is_torchvisions(size: tuple[int, int], resize: int) -> None:
    made = View(224, resize, **MEANS).apply(picture(*size))
    wanted = released_input(picture(*size), resize, 224, CLIP_MEAN, CLIP_STD)
    assert np.array_equal(made[None], wanted.numpy())


def test_an_odd_difference_is_rounded_and_not_floored() -> None:
    tall = picture(227, 224)  # 1.5 px over the top: torchvision takes 2
    made = View(224, 224).apply(tall)
    assert np.array_equal(made.transpose(1, 2, 0), tall[2:226].astype(np.float32) / 255)


@pytest.mark.parametrize("size", SIZES)
def test_without_a_crop_it_is_instruct_pix2pix_interpolation(size: tuple[int, int]) -> None:
    made = View(224, 224, **MEANS, crop="none").apply(picture(*size))
    values = torch.from_numpy(picture(*size)).permute(2, 0, 1)[None].float() / 255
    values = torch.nn.functional.interpolate(values, size=224, mode="bicubic", align_corners=False)
    mean, std = (torch.tensor(each)[:, None, None] for each in (CLIP_MEAN, CLIP_STD))
    assert np.array_equal(made[None], ((values - mean) / std).numpy())


def test_the_nearest_pixels_are_ultra_edits() -> None:
    made = View(518, 518, crop="nearest").apply(picture(97, 251))
    values = torch.from_numpy(picture(97, 251)).permute(2, 0, 1)[None].float() / 255
    wanted = torch.nn.functional.interpolate(values, size=(518, 518))
    assert np.array_equal(made[None], wanted.numpy())


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((300, 217), (309, 224)), ((50, 100), (224, 448)), ((224, 300), (224, 300))],
)
def test_the_longer_side_is_rounded_down(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert shorter_side(picture(*size), 224).shape[:2] == wanted
