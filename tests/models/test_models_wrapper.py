import pytest
import torch

from editloop.models.channels import ChannelCondition
from editloop.models.reward import MultiRewardCondition, RewardSettings, reward_condition
from editloop.models.wrapper import ConditionedUNet, Injection, UNetShape
from networks import awake, stable_diffusion_like
from tiny_pipelines import TEXT_WIDTH, tiny_unet

WAYS = ["time", "attention", "addition"]
VARIANTS = [{"injection": WAYS}, {"variant": "paper"}, {"variant": "released"}]


def call(network, inputs, seed=0):
    random = torch.Generator().manual_seed(seed)
    sample = torch.randn(2, 8, 8, 8, generator=random)
    text = torch.randn(2, 5, 12, generator=random)
    with torch.no_grad():
        return network(sample, torch.tensor([7, 900]), text, inputs)


def rewards(score=5.0, words=1.0):
    return {
        "reward": {
            "scores": torch.full((2, 3), score),
            "keep": torch.ones(2, 3),
            "text": torch.full((2, 6, 12), words),
        }
    }


def wrapped(*ways, **others):
    unet = stable_diffusion_like()
    condition = MultiRewardCondition(
        RewardSettings(injection=ways, **others), UNetShape.of(unet)
    ).eval()
    return unet, condition, ConditionedUNet(unet, {"reward": condition})


@pytest.mark.parametrize("ways", [*[(way,) for way in WAYS], tuple(WAYS)])
def test_a_fresh_condition_leaves_a_stable_diffusion_unet_as_it_was(ways) -> None:
    plain = call(ConditionedUNet(stable_diffusion_like(), {}), {})
    _, _, network = wrapped(*ways)
    assert torch.equal(call(network, rewards()), plain)


@pytest.mark.parametrize("ways", [*[(way,) for way in WAYS], tuple(WAYS)])
def test_scores_and_words_enter_by_each_way(ways) -> None:
    _, condition, network = wrapped(*ways)
    awake(condition)
    asked = call(network, rewards())
    assert not torch.allclose(asked, call(network, rewards(score=0.0)), atol=1e-4)
    assert not torch.allclose(asked, call(network, rewards(words=-1.0)), atol=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_is_trained(way) -> None:
    _, condition, network = wrapped(way)
    awake(condition)
    sample, text = torch.randn(2, 8, 8, 8), torch.randn(2, 5, 12)
    given = rewards()
    given["reward"]["text"] = torch.randn(2, 6, 12)
    network(sample, torch.tensor([7, 900]), text, given).square().mean().backward()
    assert [name for name, each in condition.named_parameters() if not each.grad.any()] == []


def test_a_condition_without_inputs_is_left_out() -> None:
    unet, condition, network = wrapped("time")
    awake(condition)
    plain = call(ConditionedUNet(unet, {}), {})
    assert torch.equal(call(network, {}), plain)


def test_nothing_stays_behind_after_a_call_that_fails() -> None:
    unet, condition, network = wrapped("addition")
    awake(condition)
    with pytest.raises(RuntimeError):
        network(torch.zeros(2, 3, 8, 8), torch.tensor([1, 1]), torch.zeros(2, 5, 12), rewards())
    assert torch.equal(call(network, {}), call(ConditionedUNet(unet, {}), {}))


def test_channels_are_concatenated_behind_the_sample() -> None:
    unet = stable_diffusion_like()
    network = ConditionedUNet(unet, {"source": ChannelCondition()})
    sample, picture = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    text, at = torch.randn(2, 5, 12), torch.tensor([3, 4])
    with torch.no_grad():
        together = unet(torch.cat([sample, picture], 1), at, text).sample
        assert torch.equal(network(sample, at, text, {"source": {"picture": picture}}), together)


def test_addition_reaches_every_block() -> None:
    unet, condition, network = wrapped("addition")
    blocks = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    assert len(condition.additions) == len(blocks)
    plain = call(network, rewards())
    for layer in condition.additions:
        with torch.no_grad():
            layer.bias.copy_(torch.linspace(-1, 1, len(layer.bias)))  # norms remove equal shifts
            assert not torch.allclose(call(network, rewards()), plain, atol=1e-4)
            layer.bias.zero_()


def test_the_unet_is_saved_and_loaded_alone(tmp_path) -> None:
    unet, condition, network = wrapped("time", "attention", "addition")
    awake(condition)
    unet.save_pretrained(tmp_path)
    again = type(unet).from_pretrained(tmp_path).eval()
    assert torch.equal(call(ConditionedUNet(again, {}), {}), call(network, {}))


def of_plan(chosen, *, xl=False):
    """A UNet of SD 1.5's or XL's architecture with a condition that injects everywhere."""
    unet = tiny_unet(8, xl=xl)
    condition = reward_condition(RewardSettings(**chosen), UNetShape.of(unet)).eval()
    awake(condition)
    return ConditionedUNet(unet, {"reward": condition})


def answer(network, *, xl=False, batch=2, dtype=torch.float32, **changes):
    """Return a network's output for a fixed edit; some reward inputs may be replaced."""
    random = torch.Generator().manual_seed(3)
    width = 2 * TEXT_WIDTH if xl else TEXT_WIDTH
    sample = torch.randn(2, 8, 8, 8, generator=random)[:batch].to(dtype)
    words = torch.randn(2, 5, width, generator=random)[:batch].to(dtype)
    reward = {
        "scores": torch.tensor([[5.0, 3.0, 0.0], [1.0, 4.0, 5.0]])[:batch],
        "keep": torch.ones(batch, 3),
        "text": torch.randn(2, 6, width, generator=random)[:batch].to(dtype),
        "pooled": torch.randn(2, TEXT_WIDTH, generator=random)[:batch].to(dtype),
    }
    pooled = torch.randn(2, TEXT_WIDTH, generator=random)[:batch]
    added = {"text_embeds": pooled, "time_ids": torch.full((batch, 6), 16.0)}
    return network(
        sample,
        torch.tensor([7, 900])[:batch],
        words,
        {"reward": reward | changes},
        **({"added_cond_kwargs": added} if xl else {}),
    )


@pytest.mark.parametrize("chosen", VARIANTS)
@torch.no_grad()
def test_every_variant_conditions_an_xl_unet(chosen) -> None:
    network = of_plan(chosen, xl=True)
    asked = answer(network, xl=True)
    other = answer(network, xl=True, scores=torch.zeros(2, 3))
    assert not torch.allclose(asked, other, atol=1e-4)


@pytest.mark.parametrize("chosen", VARIANTS)
@torch.no_grad()
def test_an_edit_is_the_same_beside_others(chosen) -> None:
    network = of_plan(chosen)
    assert torch.allclose(answer(network, batch=1), answer(network)[:1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("chosen", VARIANTS)
@torch.no_grad()
def test_only_our_variant_leaves_an_xl_unet_as_it_was(chosen) -> None:
    unet = tiny_unet(8, xl=True)
    plain = answer(ConditionedUNet(unet, {}), xl=True)
    condition = reward_condition(RewardSettings(**chosen), UNetShape.of(unet)).eval()
    unchanged = torch.equal(answer(ConditionedUNet(unet, {"reward": condition}), xl=True), plain)
    assert unchanged == ("variant" not in chosen)


def gradients(network, *, xl):
    network.zero_grad()
    answer(network, xl=xl).square().mean().backward()
    return {name: each.grad.clone() for name, each in network.named_parameters()}


@pytest.mark.slow
@pytest.mark.parametrize("xl", [False, True])
@pytest.mark.parametrize("chosen", VARIANTS)
def test_checkpointing_gives_the_same_gradients_everywhere(chosen, xl) -> None:
    network = of_plan(chosen, xl=xl)
    network.unet.train()
    expected = gradients(network, xl=xl)
    network.unet.enable_gradient_checkpointing()
    found = gradients(network, xl=xl)
    assert [name for name, each in found.items() if not each.any()] == []
    assert all(torch.allclose(found[name], each, rtol=1e-5) for name, each in expected.items())


def precisions(network, call):
    """Record the output dtypes of the UNet's parts during a call."""
    found, unet = [], network.unet
    parts = [unet.time_embedding, unet.conv_in, *unet.down_blocks, unet.mid_block, *unet.up_blocks]

    def note(_module, _inputs, output):
        found.append((output[0] if isinstance(output, tuple) else output).dtype)

    handles = [part.register_forward_hook(note) for part in parts]
    call()
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("chosen", VARIANTS)
@torch.no_grad()
def test_autocast_computes_as_precisely_with_conditions_as_without(chosen) -> None:
    network = of_plan(chosen)
    plain = ConditionedUNet(tiny_unet(8), {})
    with torch.autocast("cpu", torch.bfloat16):
        without = precisions(plain, lambda: answer(plain))
        assert precisions(network, lambda: answer(network)) == without
        rough = answer(network)
    assert torch.allclose(rough.float(), answer(network), rtol=0, atol=0.1)


@pytest.mark.parametrize("chosen", VARIANTS)
@torch.no_grad()
def test_a_network_of_half_precision_takes_scores_of_full_precision(chosen) -> None:
    network = of_plan(chosen).bfloat16()
    assert answer(network, dtype=torch.bfloat16).dtype == torch.bfloat16


class FullPrecision(torch.nn.Module):
    """A condition whose outputs are float32 for any dtype of the UNet."""

    def forward(self, **_):
        return Injection(
            channels=torch.ones(2, 4, 8, 8),
            time=torch.ones(2, 32),
            features=lambda features: features.float() + 1,
            blocks=tuple(torch.ones(2, width) for width in (8, 16, 16, 16, 8)),
        )


@torch.no_grad()
def test_a_condition_of_full_precision_leaves_the_unets_as_it_is() -> None:
    network = ConditionedUNet(tiny_unet(12).bfloat16(), {"reward": FullPrecision()})
    found = precisions(network, lambda: answer(network, dtype=torch.bfloat16))
    assert set(found) == {torch.bfloat16}


@pytest.mark.parametrize("chosen", VARIANTS)
def test_conditions_are_trained_in_full_precision_beside_a_unet_of_half(chosen) -> None:
    network = of_plan(chosen)
    network.unet.bfloat16().requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        answer(network, dtype=torch.bfloat16).float().square().mean().backward()
    trained = dict(network.conditions.named_parameters())
    assert {each.grad.dtype for each in trained.values()} == {torch.float32}
    assert [name for name, each in trained.items() if not each.grad.any()] == []
