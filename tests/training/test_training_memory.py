"""What a training is said to take of memory, before any weights are read."""

from dataclasses import replace

import pytest
import torch
import yaml

from diffusion_runs import SIZE, diffusion, saved_base
from editloop.errors import TrainingError
from editloop.models.backbones.base_loading import load_base
from editloop.models.inputs import EditInputs
from editloop.training.diffusion_settings import DiffusionTrainingSettings
from editloop.training.memory import check_memory, needs_of

LORA = {"lora": {"rank": 2}}
CASES = [
    ("sd", {"conditions": ("source", "mask", "reward"), "reward": {"variant": "released"}}),
    ("sd", {"conditions": ("source", "mask"), **LORA}),
    ("sdxl", {"conditions": ("source", "reward")}),
    ("sd3", {"conditions": ("source", "mask")}),
    ("flux-kontext", LORA),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> str:
    return saved_base("sd", tmp_path_factory.mktemp("memory") / "base")


def settings(base, **changes):
    usual = {"size": SIZE, "batch": 8, "precision": "fp32"}
    return DiffusionTrainingSettings(base=base, **{**usual, **changes})


def free(monkeypatch, count):
    monkeypatch.setattr("editloop.training.memory._free", lambda: count)


@pytest.mark.parametrize(("family", "changes"), CASES, ids=lambda value: str(value)[:40])
def test_networks_take_what_loaded_ones_do(tmp_path, family, changes) -> None:
    chosen = settings(saved_base(family, tmp_path / "base"), **changes)
    loaded = load_base(chosen.base, chosen.wanted("fp32", 0))
    outlined = load_base(chosen.base, replace(chosen.wanted("fp32", 0), outlined=True))
    assert outlined.parameter_count == loaded.parameter_count
    networks = (loaded.denoiser, loaded.autoencoder.vae, *text_encoders(loaded.texts))
    expected = sum(
        each.nbytes for network in networks for each in (*network.parameters(), *network.buffers())
    )
    assert needs_of(chosen).networks == expected


@pytest.mark.parametrize(("family", "changes"), CASES, ids=lambda value: str(value)[:40])
def test_a_sample_keeps_what_a_forward_pass_keeps(tmp_path, family, changes) -> None:
    chosen = settings(saved_base(family, tmp_path / "base"), **changes)
    model = load_base(chosen.base, chosen.wanted("fp32", 0))
    inputs = EditInputs(torch.zeros(1, *model.noise_shape(SIZE, SIZE)), model.texts.ids(["red"]))
    if "mask" in model.conditions:
        inputs = inputs.with_({"mask": inputs.source})
    if "reward" in model.conditions:
        scores = {"scores": torch.ones(1, 3), "keep": torch.ones(1, 3)}
        inputs = inputs.with_({**scores, "reward_text": inputs.text})
    given, kept = model.given(inputs), {}
    own = {each.data_ptr() for each in (*model.denoiser.parameters(), *model.denoiser.buffers())}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.denoiser(inputs.source, torch.zeros(1), given)
    real = sum(each.untyped_storage().nbytes() for at, each in kept.items() if at not in own)
    assert needs_of(chosen).sample == pytest.approx(real, rel=0.1)


def text_encoders(texts):
    encoders = getattr(texts, "encoders", None) or (texts.encoder,)
    reader = getattr(texts, "t5", None)
    return encoders if reader is None else (*encoders, reader.encoder)


def test_no_weights_are_read_to_say_it(tmp_path) -> None:
    base = tmp_path / "base"
    before = needs_of(settings(saved_base("sd", base)))
    for path in base.rglob("*.safetensors"):
        path.write_bytes(b"")
    assert needs_of(settings(str(base))) == before


def test_samples_in_memory_and_their_size_take_more(base) -> None:
    usual, larger = needs_of(settings(base)), needs_of(settings(base, size=2 * SIZE))
    assert larger.sample > 3 * usual.sample
    assert usual.total(4) - usual.total(2) == pytest.approx(2.1 * usual.sample, rel=0.01)


def test_the_micro_batch_that_is_named_fits_and_the_next_does_not(base, monkeypatch) -> None:
    needs = needs_of(settings(base))
    free(monkeypatch, needs.total(3))
    with pytest.raises(TrainingError, match=r"set micro_batch: 2 \(the batch stays 8\)"):
        check_memory(settings(base))
    check_memory(settings(base, micro_batch=2))
    with pytest.raises(TrainingError, match="micro_batch 4"):
        check_memory(settings(base, micro_batch=4))


@pytest.mark.parametrize(
    "enough", [{}, {"average": None}, {"average": None, "lora": {"rank": 16}}], ids=str
)
def test_settings_that_are_named_for_a_lack_of_memory_fit(base, monkeypatch, enough) -> None:
    less = {"gradient_checkpointing": True, "optimiser": {"kind": "adamw-8bit"}, **enough}
    free(monkeypatch, needs_of(settings(base, **less)).total(1) + 1000)
    with pytest.raises(TrainingError) as caught:
        check_memory(settings(base, batch=1))
    named = yaml.safe_load("{" + str(caught.value.fix).removeprefix("set ") + "}")
    assert named.keys() >= less.keys()
    check_memory(settings(base, batch=1, **named))


def test_a_base_that_does_not_fit_at_all_is_told(base, monkeypatch) -> None:
    free(monkeypatch, needs_of(settings(base)).networks // 2)
    with pytest.raises(TrainingError, match="name a smaller base or size"):
        check_memory(settings(base))
    assert torch.get_default_device() == torch.device("cpu")


def test_pictures_of_any_size_can_be_estimated(base) -> None:
    with pytest.raises(TrainingError, match="GiB are free"):
        check_memory(settings(base, size=100_000))


def test_a_training_tells_it_before_it_makes_anything(base, monkeypatch) -> None:
    free(monkeypatch, 4_000_000)
    with pytest.raises(TrainingError, match="GiB are free"):
        diffusion(base, batch=64).check(None)
