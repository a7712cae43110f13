import pytest
import torch

from editloop.models.channels import ChannelCondition
from editloop.models.reward import MultiRewardCondition, RewardSettings
from editloop.models.wrapper import ConditionedUNet, UNetShape
from networks import awake, stable_diffusion_like

WAYS = ["time", "attention", "addition"]


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
            layer.bias.copy_(torch.linspace(-1, 1, len(layer.bias)))  # norms undo equal shifts
            assert not torch.allclose(call(network, rewards()), plain, atol=1e-4)
            layer.bias.zero_()


def test_the_unet_is_saved_and_loaded_alone(tmp_path) -> None:
    unet, condition, network = wrapped("time", "attention", "addition")
    awake(condition)
    unet.save_pretrained(tmp_path)
    again = type(unet).from_pretrained(tmp_path).eval()
    assert torch.equal(call(ConditionedUNet(again, {}), {}), call(network, {}))
