"""Models trained with EditLoop, and rewards, used through the editor `diffusion`."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from editloop.editors.diffusion import DiffusionEditor, DiffusionSettings
from editloop.errors import RecipeError, StoreError, UnavailableError
from editloop.models.backbones.sampling import denoised
from editloop.models.backbones.saving import save_diffusion_model
from editloop.models.guidance import branches
from editloop.models.inputs import EditInputs
from editloop.models.released_reward import _LAYERS, ReleasedRewardCondition
from editloop.models.wrapper import UNetShape
from editloop.runtime.seeding import generator
from editloop.schema import EditRequest
from networks import awake
from tiny_models import LORA, learned, model_of
from tiny_pipelines import save_instruct_pix2pix, tiny_unet

pytestmark = pytest.mark.slow

STEPS = 2
MODELS = {
    "sd": ("sd", (), None),
    "sd-mask": ("sd", ("mask",), None),
    "sd-lora-reward": ("sd", ("paper",), LORA),
    "sdxl-lora": ("sdxl", (), LORA),
    "sd3-mask": ("sd3", ("mask",), None),
    "flux-kontext": ("flux-kontext", (), LORA),
}


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return tmp_path_factory.mktemp("bases")


def trained(room, name):
    """Return a trained model's folder; it is made once."""
    folder = room / f"trained-{name}"
    if not folder.is_dir():
        base, conditions, lora = MODELS[name]
        model = learned(model_of(room, base, *conditions, lora=lora, new_weights="random"))
        save_diffusion_model(model, folder, {"training": {"size": 32}})
    return folder


@pytest.fixture(scope="module")
def rewarded(room):
    return trained(room, "sd-lora-reward")


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """Return a folder as the authors of Reward-InsPix2Pix released it, with extra weights."""
    folder = save_instruct_pix2pix(tmp_path_factory.mktemp("released"))
    condition = ReleasedRewardCondition(UNetShape.of(tiny_unet(8)))
    awake(condition)
    own = condition.state_dict()
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    theirs = {}
    for kind in ("weight", "bias"):
        for released_name, name in _LAYERS.items():
            theirs[f"{released_name}.{kind}"] = own[f"{name}.{kind}"]
        parts = own[f"block.attention.in_proj_{kind}"].chunk(3)
        for part, each in zip(("query", "key", "value"), parts, strict=True):
            theirs[f"ca.attention.self.{part}.{kind}"] = each.clone()
    save_file({**load_file(path), **theirs}, path, metadata={"format": "pt"})
    return folder


def editor(folder, **settings):
    size = {"multiple": 8}
    chosen = {"target": str(folder), "steps": STEPS, "size": size, **settings}
    return DiffusionEditor(DiffusionSettings(**chosen))


def request(index=0, height=32, width=48, **changes):
    pixels = generator("picture", index).integers(0, 256, (height, width, 3), dtype=np.uint8)
    usual = {"id": str(index), "image": pixels, "instruction": "make it red", "seed": 7}
    return EditRequest(**{**usual, **changes})


def apart(first, second):
    return np.abs(first.astype(int) - second.astype(int)).max()


@pytest.mark.parametrize("name", MODELS)
def test_a_trained_model_edits_as_it_did_in_training(room, name) -> None:
    base, conditions, lora = MODELS[name]
    model = learned(model_of(room, base, *conditions, lora=lora, new_weights="random"))
    asked = request(mask=np.full((32, 48), 255, np.uint8))
    source = model.shown(torch.from_numpy(asked.image[None]))
    inputs = EditInputs(source, model.texts.ids([asked.instruction]))
    if "mask" in model.conditions:
        inputs = inputs.with_({"mask": model.blank_mask(32, 48)})
    if "reward" in model.conditions:
        inputs = inputs.with_(
            {
                "scores": torch.full((1, 3), 5.0),
                "keep": torch.ones(1, 3),
                "reward_text": model.texts.ids(["None;None;None"]),
            }
        )
    defaults = model.family.editing
    latents = denoised(
        model,
        inputs,
        [torch.Generator().manual_seed(7)],
        scheduler=model.scheduler,
        steps=STEPS,
        chosen=branches(defaults.text_guidance, defaults.image_guidance),
    )
    answer = editor(trained(room, name)).edit([asked])[0]
    assert apart(answer, model.decode(latents)[0]) <= 1


def test_it_says_whether_a_trained_model_heeds_masks(room) -> None:
    assert editor(trained(room, "sd-mask")).uses_mask
    assert not editor(trained(room, "sd")).uses_mask


def test_left_out_the_size_is_the_one_it_was_trained_at(room) -> None:
    big = request(0, 64, 96)
    usual = editor(trained(room, "sd"), size=None).edit([big])[0]
    same = editor(trained(room, "sd"), size={"long_side": 32, "multiple": 64}).edit([big])[0]
    assert np.array_equal(usual, same)


@pytest.mark.parametrize("variant", ["rewarded", "released"])
def test_rewards_steer_and_the_best_are_asked_for_by_default(variant, request) -> None:
    folder = request.getfixturevalue(variant)
    text = "None; None; None" if variant == "released" else "None;None;None"
    ask = globals()["request"]
    usual = editor(folder).edit([ask()])[0]
    spelt = editor(folder, reward="5,5,5", reward_text=text).edit([ask()])[0]
    assert np.array_equal(usual, spelt)
    for other in ({"reward": "0,5,5"}, {"reward_text": "too dark;None;None"}):
        assert apart(usual, editor(folder, **other).edit([ask()])[0]) > 1


def test_a_paper_model_can_be_asked_without_rewards(rewarded) -> None:
    without = editor(rewarded, reward="none").edit([request()])[0]
    assert apart(without, editor(rewarded).edit([request()])[0]) > 1


@pytest.mark.parametrize(
    ("facts", "refused"),
    [
        ({"training": {"drop": {"reward": 0.0}}}, True),
        ({"training": {"drop": {"reward": 0.1}}}, False),
        ({"training": {"drop": {"reward": 0.0}}, "edits_unrewarded": True}, False),
        ({"training": {"drop": {"reward": 0.0}}, "edits_unrewarded": False}, True),
    ],
    ids=str,
)
def test_no_rewards_are_for_models_that_have_seen_samples_without(
    rewarded, tmp_path, facts, refused
) -> None:
    copy = shutil.copytree(rewarded, tmp_path / "copy")
    path = copy / "editloop.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "facts": facts}))
    made = editor(copy, reward="none")
    if not refused:
        assert made.missing() is None
        return
    for ask in (lambda: made.edit([request()]), lambda: made.fingerprint, lambda: made.uses_mask):
        with pytest.raises(RecipeError, match=r"(?s)never seen.*reward=none.*drop.reward=0.1"):
            ask()
    assert editor(copy, reward="5,5,5").missing() is None


def test_the_released_model_cannot(released) -> None:
    with pytest.raises(RecipeError, match="needs scores"):
        editor(released, reward="none").edit([request()])


def test_each_setting_of_rewards_changes_the_fingerprint(rewarded) -> None:
    usual = editor(rewarded).fingerprint
    assert usual != editor(rewarded, reward="0,5,5").fingerprint
    assert usual != editor(rewarded, reward_text="too dark;None;None").fingerprint


def test_other_weights_are_another_fingerprint_and_another_place_is_not(rewarded, tmp_path) -> None:
    copy = shutil.copytree(rewarded, tmp_path / "copy")
    assert editor(copy).fingerprint == editor(rewarded).fingerprint
    path = copy / "reward" / "diffusion_pytorch_model.safetensors"
    save_file({name: each + 1 for name, each in load_file(path).items()}, path)
    assert editor(copy).fingerprint != editor(rewarded).fingerprint


def test_adapters_whose_base_is_not_here_are_unavailable(rewarded, tmp_path) -> None:
    copy = shutil.copytree(rewarded, tmp_path / "copy")
    path = copy / "editloop.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base": "nobody/such-a-base"}))
    assert editor(copy).missing().command == "hf download nobody/such-a-base"


def test_several_instructions_for_a_picture_encode_it_once(room, monkeypatch) -> None:
    made = editor(trained(room, "sd"), batch=2)
    made.edit([request(9)])  # loads it
    vae = made._editor._pipeline.autoencoder.vae
    encoded, real = [], vae.encode
    monkeypatch.setattr(vae, "encode", lambda values: encoded.append(len(values)) or real(values))
    made.edit([request(0, instruction=text) for text in ("a", "b", "c")])
    assert encoded == [1]


def test_image_guidance_alone_is_equation_3_too(room) -> None:
    made = [
        editor(trained(room, "sd"), text_guidance=scale, image_guidance=1.5).edit([request()])[0]
        for scale in (1.0, 1.0001)
    ]
    assert apart(*made) <= 1


def test_compiling_changes_nothing_but_rounding(room, monkeypatch) -> None:
    compiled = []
    monkeypatch.setattr("torch.nn.Module.compile", lambda network: compiled.append(network) or None)
    made, usual = (editor(trained(room, "sd"), compile=flag) for flag in (True, False))
    assert np.array_equal(made.edit([request()])[0], usual.edit([request()])[0])
    assert compiled == [made._editor._pipeline.network]
    assert made.fingerprint == usual.fingerprint


def test_a_runs_folder_means_the_only_model_in_it(room, tmp_path) -> None:
    first, second = (tmp_path / "models" / name for name in ("first", "second"))
    shutil.copytree(trained(room, "sd"), first)
    made = editor(tmp_path)
    assert made.weights == (str(first),)
    assert np.array_equal(made.edit([request()])[0], editor(first).edit([request()])[0])
    shutil.copytree(first, second)
    with pytest.raises(RecipeError, match=r"(?s)several trained models.*models/first.*second"):
        editor(tmp_path).edit([request()])


INDEX = {
    **{"kind": "diffusion", "family": "sd", "base": "a", "conditions": [], "facts": {}},
    **{"lora": None, "reward": None},
}
SAID = [
    *(b"{", b"[1]", b"\xff", b'{"kind": "diffusion", "base": "a"}'),
    *(
        json.dumps({**INDEX, **odd}).encode()
        for odd in (
            *({"base": 5}, {"conditions": 5}, {"lora": ["a", "b"]}, {"reward": {"variant": "x"}}),
            *(
                {"family": ["sd"]},
                {"facts": []},
                {"facts": {"training": 5}},
                {"facts": {"training": {"size": "x"}}},
            ),
        )
    ),
]


@pytest.mark.parametrize("said", SAID)
def test_a_folder_that_only_looks_trained_is_named(tmp_path, said) -> None:
    (tmp_path / "editloop.json").write_bytes(said)
    with pytest.raises(StoreError, match=r"index cannot be read.*editloop\.json"):
        editor(tmp_path).edit([request()])
    (tmp_path / "editloop.json").unlink()
    with pytest.raises(UnavailableError, match="no trained model here"):
        editor(tmp_path).edit([request()])


def test_a_short_path_beside_folders_that_are_here_is_no_hub_name(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(UnavailableError, match="no trained model here"):
        editor("runs/absent").edit([request()])
    with pytest.raises(UnavailableError, match="hf download owner/absent"):
        editor("owner/absent").edit([request()])


def test_adapters_without_their_grown_layers_are_refused(room, tmp_path) -> None:
    copy = shutil.copytree(trained(room, "sd-lora-reward"), tmp_path / "copy")
    (copy / "grown.safetensors").unlink()
    with pytest.raises(StoreError, match=r"incomplete.*grown\.safetensors"):
        editor(copy).edit([request()])
