import numpy as np
import pytest
import torch

from editloop.editors.diffusion import DiffusionEditor, DiffusionSettings
from editloop.errors import RecipeError, UnavailableError
from editloop.models.saving import load_model, save_model
from editloop.registry import parse_spec
from editloop.runtime.seeding import generator
from editloop.schema import EditRequest, Unedited
from networks import SIZE, awake, pocket


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with all conditions, whose output depends on each of them."""
    model = pocket("mask", "reward")
    awake(model)
    made = tmp_path_factory.mktemp("model")
    save_model(model, made, {})
    return made


def editor(folder, **settings):
    return DiffusionEditor(DiffusionSettings(target=str(folder), batch=4, **settings))


def request(index=0, height=SIZE, width=SIZE, **changes):
    pixels = generator("picture", index).integers(0, 256, (height, width, 3), dtype=np.uint8)
    usual = {"id": str(index), "image": pixels, "instruction": "make it brighter", "seed": index}
    return EditRequest(**{**usual, **changes})


def test_a_spec_names_it(folder) -> None:
    made = parse_spec(f"bright=diffusion:{folder}?reward=5,0,2.5&steps=2", "editor").create(
        "editor"
    )
    assert isinstance(made, DiffusionEditor)
    assert made.edit([request()])[0].shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (31, 47), (200, 50), (1, 300), (7, 7)])
def test_an_answer_has_the_size_of_its_picture(folder, size) -> None:
    answer = editor(folder).edit([request(0, *size)])[0]
    assert answer.shape == (*size, 3)
    assert answer.dtype == np.uint8


def test_an_answer_with_nan_is_an_error_and_not_a_black_picture(folder, tmp_path) -> None:
    model = load_model(folder)
    torch.nn.init.constant_(model.network.unet.conv_out.bias, torch.nan)
    save_model(model, tmp_path, {})
    with pytest.raises(RecipeError, match="decoded picture has NaN or infinite"):
        editor(tmp_path).edit([request()])


def test_an_answer_depends_on_nothing_else_that_is_asked(folder) -> None:
    made = editor(folder, steps=2)
    requests = [
        request(index, *size) for index, size in enumerate([(32, 32), (64, 32), (32, 32)] * 3)
    ]
    together = made.edit(requests)
    alone = [made.edit([each])[0] for each in requests]
    turned = made.edit(requests[::-1])[::-1]
    for answer, single, other in zip(together, alone, turned, strict=True):
        assert np.array_equal(answer, single)
        assert np.array_equal(answer, other)


def test_the_seed_decides_the_noise(folder) -> None:
    made = editor(folder)
    first, again, other = (made.edit([request(0, seed=seed)])[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"reward": "0,5,5"},
        {"reward": "none"},
        {"reward_text": "nothing changed;None;None"},
        {"steps": 3},
        {"text_guidance": 3.0},
        {"image_guidance": 2.0},
    ],
)
def test_each_setting_changes_answer_and_fingerprint(folder, settings) -> None:
    usual, changed = editor(folder), editor(folder, **settings)
    assert not np.array_equal(usual.edit([request()])[0], changed.edit([request()])[0])
    assert usual.fingerprint != changed.fingerprint


def test_default_rewards_are_the_best_without_complaint(folder) -> None:
    usual = editor(folder)
    spelt = editor(folder, reward=(5, 5, 5), reward_text="None;None;None")
    assert np.array_equal(usual.edit([request()])[0], spelt.edit([request()])[0])
    assert usual.fingerprint == spelt.fingerprint


def test_a_mask_is_heeded_and_an_all_black_one_is_not_edited_with(folder) -> None:
    made = editor(folder)
    black, full = (np.full((SIZE, SIZE), value, np.uint8) for value in (0, 255))
    half = full.copy()
    half[:, : SIZE // 2] = 0
    without, everywhere, nowhere, left = (
        made.edit([request(0, mask=mask)])[0] for mask in (None, full, black, half)
    )
    assert np.array_equal(without, everywhere)
    assert isinstance(nowhere, Unedited)
    assert not np.array_equal(without, left)


def test_an_instruction_longer_than_the_model_reads_is_not_edited(folder) -> None:
    long = request(0, instruction="make it brighter " * 40)
    refused, edited = editor(folder).edit([long, request(1)])
    assert isinstance(refused, Unedited)
    assert "at most 32" in refused.reason
    assert edited.shape == (SIZE, SIZE, 3)


def test_a_protocols_settings_do_not_reach_a_pocket_model(folder) -> None:
    card = {"steps": 50, "text_guidance": 7.5, "image_guidance": 1.5, "size": {"side": 64}}
    plain, with_card = editor(folder).edit([request(), request(settings=card)])
    assert np.array_equal(plain, with_card)


def test_a_checkpoints_settings_are_refused(folder) -> None:
    with pytest.raises(RecipeError, match="unknown key: scheduler"):
        editor(folder, scheduler="ddim").edit([request()])


def test_it_says_whether_it_heeds_masks(folder, tmp_path) -> None:
    save_model(pocket(), tmp_path, {})
    assert editor(folder).uses_mask
    assert not editor(tmp_path).uses_mask


def test_a_model_that_is_here_misses_nothing(folder) -> None:
    assert editor(folder).missing() is None
    assert editor(folder).weights == (str(folder),)


def test_no_requests_need_no_model(tmp_path) -> None:
    assert editor(tmp_path).edit([]) == []


def test_where_the_folder_lies_is_no_matter(folder, tmp_path) -> None:
    model = pocket("mask", "reward")
    awake(model)
    save_model(model, tmp_path, {})
    assert editor(tmp_path).fingerprint == editor(folder).fingerprint


def test_other_weights_are_another_fingerprint(folder, tmp_path) -> None:
    save_model(pocket("mask", "reward", seed=1), tmp_path, {})
    assert editor(tmp_path).fingerprint != editor(folder).fingerprint


@pytest.mark.parametrize(
    "ask", [lambda made: made.fingerprint, lambda made: made.edit([request()])]
)
def test_a_folder_without_a_model_is_unavailable_with_the_command(tmp_path, ask) -> None:
    with pytest.raises(UnavailableError, match="editloop run"):
        ask(editor(tmp_path / "nowhere"))


def test_rewards_for_a_model_without_them_are_refused(tmp_path) -> None:
    save_model(pocket(), tmp_path, {})
    assert editor(tmp_path).edit([request()])[0].shape == (SIZE, SIZE, 3)
    with pytest.raises(RecipeError, match="trained without rewards"):
        editor(tmp_path, reward="5,5,5").edit([request()])


def test_a_reward_text_that_is_too_long_is_refused(folder) -> None:
    with pytest.raises(RecipeError, match="too long"):
        editor(folder, reward_text="bad " * 100).edit([request()])


@pytest.mark.parametrize(
    "query", ["reward=6,5,5", "reward=5,5", "reward=best", "steps=0", "sped=3"]
)
def test_bad_settings_are_refused(folder, query) -> None:
    with pytest.raises(RecipeError):
        parse_spec(f"diffusion:{folder}?{query}", "editor").create("editor")
