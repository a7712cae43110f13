"""Sessions go on from an editor's results at its working size: scaling costs nothing per turn."""

import math
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageOps

from editloop.editors import edit
from editloop.editors.diffusion import DiffusionEditor
from editloop.editors.geometry import Sizing, fitted, fitted_picture, resized
from editloop.editors.pocket import PocketEditor, PocketEditorSettings
from editloop.editors.sessions import UnscaledEditor
from editloop.models.saving import save_model
from editloop.schema import EditRequest, Unedited
from editloop.sources.scenes import photo
from networks import awake, pocket
from sized_editors import Unchanging

TURNS = ["one", "two", "three", "four"]
RULES = [
    {"long_side": 64, "multiple": 16},
    {"side": 36, "multiple": 16},  # fits 120x450 to 16x64, and that to 16x80
    {"long_side": 64, "multiple": 16, "rounding": "instruct-pix2pix"},
]


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    Unchanging.asked.clear()
    Unchanging.shown.clear()


def unchanging(folder, **size) -> Unchanging:
    return Unchanging(Unchanging.Settings(target=str(folder), size=size or None))


def coffee(height: int = 300, width: int = 450) -> np.ndarray:
    return np.ascontiguousarray(photo("coffee")[:height, :width])


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    squared = np.mean((one.astype(float) - other) ** 2)
    return math.inf if squared == 0 else 10 * math.log10(255**2 / squared)


@pytest.mark.parametrize("rule", RULES)
def test_four_turns_lose_no_more_than_one(tmp_path, rule) -> None:
    image = coffee(120)
    results = edit.edit(image, TURNS, editor=unchanging(tmp_path, **rule))
    assert all(each.shape == image.shape for each in results)
    assert [psnr(results[0], each) for each in results] == [math.inf] * 4
    sizes = {request.image.shape[:2] for request in Unchanging.asked[1:]}
    assert sizes == {fitted(*image.shape[:2], Sizing(**rule))}


def test_scaling_between_turns_would_cost_a_session_its_detail() -> None:
    """What this saves: the same session, scaled up and down between its turns."""
    image, size = coffee(512, 400), (64, 48)
    turns = [resized(image, size)]
    for _ in TURNS[1:]:
        turns.append(resized(resized(turns[-1], image.shape[:2]), size))
    losses = [psnr(turns[0], each) for each in turns[1:]]
    assert all(later < earlier for earlier, later in pairwise(losses))
    assert losses[-1] < 50


def test_a_sessions_mask_stays_that_of_the_whole_picture(tmp_path) -> None:
    image, mask = coffee(), np.zeros((300, 450), np.uint8)
    mask[100:200, 150:300] = 255
    made = unchanging(tmp_path, **RULES[0])
    edit.edit(image, TURNS[:2], editor=made, mask=mask)
    first, second = (job.mask for job in Unchanging.shown)
    assert np.array_equal(first, second)
    assert Unchanging.asked[1].mask is mask


def test_instruct_pix2pix_s_command_crops_and_the_crop_is_put_back(tmp_path) -> None:
    image, rule = coffee(300, 590), RULES[2]
    size = fitted(*image.shape[:2], Sizing(**rule))
    assert size == (48, 80)  # of 500 columns: 45 px are cut off at each side
    expected = ImageOps.fit(Image.fromarray(image), size[::-1], Image.Resampling.LANCZOS)
    assert np.array_equal(fitted_picture(image, size, Sizing(**rule)), np.asarray(expected))

    mask = np.zeros((300, 590), np.uint8)
    mask[:, :45] = 255  # the crop leaves nothing of it
    mask[100:200, 45:295] = 255  # the left half of the crop
    (result,) = edit.edit(image, ["crop"], editor=unchanging(tmp_path, **rule), mask=mask)
    (job,) = Unchanging.shown
    assert np.array_equal(job.image, np.asarray(expected))
    assert set(np.flatnonzero(job.mask.any(axis=0))) == set(range(40))
    assert np.array_equal(result[:, :45], image[:, :45])
    assert np.array_equal(result[:, -45:], image[:, -45:])
    assert psnr(result[:, 45:-45], image[:, 45:-45]) > 18  # in place: a shift of 8 px has 13 dB


def test_a_mask_of_which_the_crop_leaves_nothing_is_refused(tmp_path) -> None:
    mask = np.zeros((300, 590), np.uint8)
    mask[:, :30] = 255
    request = EditRequest("a", coffee(300, 590), "x", mask=mask)
    (answer,) = unchanging(tmp_path, **RULES[2]).edit([request])
    assert answer == Unedited("the mask lies outside of the crop to the working size")
    (answer,) = unchanging(tmp_path, **RULES[0]).edit([request])
    assert isinstance(answer, np.ndarray)


def test_a_pocket_model_goes_on_from_its_own_size(tmp_path) -> None:
    model = pocket()
    awake(model)
    save_model(model, tmp_path, {})
    made = PocketEditor(PocketEditorSettings(target=str(tmp_path), batch=1))
    image = coffee(60, 90)
    first = made.edit_unscaled([EditRequest("a", image, "make it grey")])[0]
    again = EditRequest("a", first, "make it grey", turn=2, fitted=True)
    expected = made.scaled_back(made.edit_unscaled([again])[0], EditRequest("a", image, ""))
    results = edit.edit(image, ["make it grey"] * 2, editor=f"diffusion:{tmp_path}", batch=1)
    assert first.shape != image.shape
    assert np.array_equal(results[1], expected)


def test_every_editor_with_a_working_size_returns_it() -> None:
    for each in (Unchanging, DiffusionEditor, PocketEditor):
        assert issubclass(each, UnscaledEditor)
