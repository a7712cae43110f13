"""What a training is said to take of memory, and what it says where one micro-batch is too much."""

import pytest
import torch
import yaml
from torch import nn

from diffusion_runs import SIZE, diffusion, saved_base, train_context, training_run
from editloop.errors import TrainingError
from editloop.models.backbones.base_loading import load_base
from editloop.training.diffusion_settings import DiffusionTrainingSettings
from editloop.training.edits import EditTask, edit_loss
from editloop.training.memory import advised, check_memory, needs_of, try_micro_batch

pytestmark = pytest.mark.slow

LORA = {"lora": {"rank": 2}}
MEMORY = "editloop.training.memory"
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


@pytest.fixture(autouse=True)
def _without_bf16(monkeypatch):
    monkeypatch.setattr("editloop.training.precision._has_bf16", lambda: False)


def settings(base, **changes):
    usual = {"size": SIZE, "batch": 8, "precision": "fp32"}
    return DiffusionTrainingSettings(base=base, **{**usual, **changes})


def loaded(chosen):
    return load_base(chosen.base, chosen.wanted("fp32", 0))


def free(monkeypatch, count):
    monkeypatch.setattr(f"{MEMORY}._free", lambda: count)


def out_of_memory():
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def passes(monkeypatch, limit):
    """Let memory run out in backward passes of more samples; how many each forward pass has."""
    seen = []

    def runs_out(_gradient):
        raise out_of_memory()

    def limited(model, objective, network, batch, *, bf16):
        seen.append(len(batch))
        assert all(each.training for each in network.modules())  # checkpointing needs it
        loss = edit_loss(model, objective, network, batch, bf16=bf16)
        if len(batch) > limit:
            loss.register_hook(runs_out)
        return loss

    monkeypatch.setattr(f"{MEMORY}.edit_loss", limited)
    return seen


@pytest.mark.parametrize(("family", "changes"), CASES, ids=lambda value: str(value)[:40])
def test_networks_and_what_is_trained_take_what_loaded_ones_do(tmp_path, family, changes) -> None:
    chosen = settings(saved_base(family, tmp_path / "base"), **changes)
    model = loaded(chosen)
    networks = (model.denoiser, model.autoencoder.vae, *text_encoders(model.texts))
    expected = sum(
        each.nbytes for network in networks for each in (*network.parameters(), *network.buffers())
    )
    assert needs_of(chosen) == (expected, 16 * model.parameter_count)
    less = chosen.model_copy(update={"average": None})
    assert needs_of(less) == (expected, 12 * model.parameter_count)


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


@pytest.mark.parametrize(
    "enough", [{}, {"average": None}, {"average": None, "lora": {"rank": 16}}], ids=str
)
def test_settings_that_are_named_for_a_lack_of_memory_fit(base, monkeypatch, enough) -> None:
    less = {"optimiser": {"kind": "adamw-8bit"}, **enough}
    free(monkeypatch, sum(needs_of(settings(base, **less))))
    with pytest.raises(TrainingError, match="activations come on top") as caught:
        check_memory(settings(base))
    named = yaml.safe_load("{" + str(caught.value.fix).removeprefix("set ") + "}")
    assert named.keys() == less.keys()
    check_memory(settings(base, **named))


def test_bf16_is_named_where_the_device_computes_in_it(base, monkeypatch) -> None:
    monkeypatch.setattr("editloop.training.precision._has_bf16", lambda: True)
    free(monkeypatch, sum(needs_of(settings(base, precision="bf16"))))
    with pytest.raises(TrainingError) as caught:
        check_memory(settings(base))
    assert caught.value.fix == "set precision: bf16"
    check_memory(settings(base, precision="bf16"))


def test_a_base_that_does_not_fit_at_all_is_told(base, monkeypatch) -> None:
    free(monkeypatch, needs_of(settings(base))[0] // 2)
    with pytest.raises(TrainingError, match="name a smaller base, or free memory"):
        check_memory(settings(base))


def test_a_dry_run_tells_it_before_anything_is_made(base, monkeypatch) -> None:
    free(monkeypatch, 1_000_000)
    with pytest.raises(TrainingError, match="GiB are free"):
        diffusion(base).check(None)


@pytest.mark.parametrize(("family", "changes"), CASES, ids=lambda value: str(value)[:40])
def test_a_micro_batch_of_every_base_is_passed(tmp_path, monkeypatch, family, changes) -> None:
    seen = passes(monkeypatch, 8)
    chosen = settings(saved_base(family, tmp_path / "base"), micro_batch=3, **changes)
    model = loaded(chosen)
    try_micro_batch(model, chosen)
    assert seen == [3, 3]  # the second beside the first one's gradients, as when they are added up
    try_micro_batch(model, chosen.model_copy(update={"batch": 3}))
    assert seen == [3, 3, 3]


def test_the_micro_batch_that_is_named_was_tried_and_fits(base, monkeypatch) -> None:
    seen = passes(monkeypatch, 3)
    with pytest.raises(TrainingError, match="moments and average") as caught:
        try_micro_batch(loaded(settings(base)), settings(base))
    assert caught.value.fix == "set micro_batch: 2 (it was tried; the batch stays 8)"
    assert seen == [8, 4, 2, 2]
    smaller = settings(base, micro_batch=2)
    try_micro_batch(loaded(smaller), smaller)


def test_what_takes_less_is_named_where_one_sample_is_too_much(base, monkeypatch) -> None:
    passes(monkeypatch, 0)
    chosen = settings(base, gradient_checkpointing=True, average=None)
    with pytest.raises(TrainingError, match="batch 8, micro_batch 8 at") as caught:
        try_micro_batch(loaded(chosen), chosen)
    named = "micro_batch: 1, optimiser: {kind: adamw-8bit}, lora: {rank: 16}"
    assert caught.value.fix == f"try {named}, or a smaller size or base"


def test_moments_and_average_have_room_beside_the_passes(base, monkeypatch) -> None:
    made, usual = [], torch.empty

    def empty(*sizes, **options):
        made.extend(sizes if options.get("dtype") == torch.uint8 else ())
        return usual(*sizes, **options)

    model = loaded(settings(base))
    monkeypatch.setattr(torch, "empty", empty)
    try_micro_batch(model, settings(base))
    assert made == [12 * model.parameter_count]


@pytest.mark.parametrize("changes", [{"compile": True}, "spread"], ids=str)
def test_a_network_that_becomes_another_is_not_tried(base, monkeypatch, changes) -> None:
    seen = passes(monkeypatch, 0)
    if changes == "spread":
        monkeypatch.setattr(f"{MEMORY}.spreads_weights", lambda: True)
        changes = {}
    chosen = settings(base, **changes)
    try_micro_batch(loaded(chosen), chosen)
    assert not seen


def test_a_try_leaves_nothing_behind(base) -> None:
    model = loaded(settings(base))
    resnet = model.network.down_blocks[0].resnets[0]
    resnet.dropout.p, resnet.norm1 = 0.5, nn.BatchNorm2d(resnet.norm1.num_channels)
    before = {name: each.clone() for name, each in model.denoiser.state_dict().items()}
    random = torch.get_rng_state()
    try_micro_batch(model, settings(base))
    assert torch.equal(torch.get_rng_state(), random)
    assert all(each.grad is None for each in model.denoiser.parameters())
    for name, each in model.denoiser.state_dict().items():
        assert torch.equal(each, before[name]), name


def test_a_training_is_the_same_with_and_without_a_try(tmp_path, monkeypatch, base) -> None:
    run = training_run(tmp_path / "run")
    made = {name: train_context(run, name) for name in ("tried", "not")}
    diffusion(base).run(made["tried"])
    monkeypatch.setattr("editloop.training.diffusion.try_micro_batch", lambda *_: None)
    diffusion(base).run(made["not"])
    tried, other = (
        each.output / "unet/diffusion_pytorch_model.safetensors" for each in made.values()
    )
    assert tried.read_bytes() == other.read_bytes()


def test_nothing_is_encoded_where_a_micro_batch_is_too_much(tmp_path, monkeypatch, base) -> None:
    run = training_run(tmp_path / "run")
    passes(monkeypatch, 1)
    with pytest.raises(TrainingError, match="set micro_batch: 1"):
        diffusion(base).run(train_context(run, "tiny"))
    assert not (run / ".editloop/latents").exists()


def test_memory_that_runs_out_later_is_told_too(tmp_path, monkeypatch, base) -> None:
    def spent(*_arguments):
        raise out_of_memory()

    monkeypatch.setattr(EditTask, "loss", spent)
    with pytest.raises(TrainingError, match="memory ran out: CUDA") as caught:
        diffusion(base).run(train_context(training_run(tmp_path / "run"), "tiny"))
    assert str(caught.value.fix).startswith("try micro_batch: 1, gradient_checkpointing: true, ")


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (lambda: torch.empty(2**60), "allocate memory"),  # the machine's own words
        (lambda: bytearray(2**60), "MemoryError"),
        (lambda: (_ for _ in ()).throw(out_of_memory()), "CUDA out of memory"),
    ],
    ids=["torch on a CPU", "Python", "CUDA"],
)
def test_every_way_to_run_out_of_memory_is_known(base, what, told) -> None:
    with pytest.raises(TrainingError, match=f"memory ran out: .*{told}"), advised(settings(base)):
        next(iter(what()))


def test_another_error_stays_what_it_is(base) -> None:
    with pytest.raises(RuntimeError, match="size mismatch"), advised(settings(base)):
        raise RuntimeError("size mismatch")
