import math

import pytest
import torch
from torch.nn import functional

from editloop.errors import StoreError
from editloop.models.released_reward import ReleasedRewardCondition, split_released
from editloop.models.wrapper import ConditionedUNet, UNetShape
from tiny_pipelines import TEXT_WIDTH, tiny_unet

FEATURES, TIME, TEXT = 8, 32, TEXT_WIDTH
# Names and shapes of the released UNet beyond a plain UNet's; its widths are 320, 1280 and 768.
LAYERS = {
    "add_embedding.linear_1": (TIME, 768),
    "add_embedding.linear_2": (TIME, TIME),
    "add_embedding2.linear_1": (FEATURES, 768),
    "add_embedding2.linear_2": (FEATURES, FEATURES),
    "text_linear": (FEATURES, TEXT),
    "text_linear2": (TIME, TEXT),
    "ca.attention.self.query": (FEATURES, FEATURES),
    "ca.attention.self.key": (FEATURES, FEATURES),
    "ca.attention.self.value": (FEATURES, FEATURES),
    "ca.attention.output.dense": (FEATURES, FEATURES),
    "ca.attention.output.LayerNorm": (FEATURES,),
    "ca.hidden_intermediate.dense": (FEATURES, FEATURES),
    "ca.output.dense": (FEATURES, FEATURES),
    "ca.output.LayerNorm": (FEATURES,),
    "proj_deal.norm": (FEATURES,),
    "proj_deal.proj_in": (FEATURES, FEATURES, 1, 1),
    "proj_deal.proj_out": (FEATURES, FEATURES, 1, 1),
}


def released_weights():
    random = torch.Generator().manual_seed(1)
    weights = dict(tiny_unet(8).state_dict())
    for name, shape in LAYERS.items():
        scale = 0.5 if len(shape) == 1 else 2 / math.sqrt(shape[1])
        weights[f"{name}.weight"] = scale * torch.randn(shape, generator=random)
        weights[f"{name}.bias"] = 0.5 * torch.randn(shape[0], generator=random)
    return weights


def edit(batch=2):
    """Inputs: noise and source, timesteps, text states, scores, pooled reward text."""
    random = torch.Generator().manual_seed(2)
    return {
        "sample": torch.randn(3, 8, 8, 12, generator=random)[:batch],
        "timestep": torch.tensor([7, 900, 400])[:batch],
        "words": torch.randn(3, 5, TEXT, generator=random)[:batch],
        "scores": torch.tensor([[5.0, 3.5, 0.0], [1.0, 4.0, 2.5], [0.0, 0.0, 5.0]])[:batch],
        "pooled": torch.randn(3, TEXT, generator=random)[:batch],
    }


def ours(weights=None):
    unet_weights, condition_weights = split_released(weights or released_weights())
    unet = tiny_unet(8, seed=5)
    unet.load_state_dict(unet_weights)
    condition = ReleasedRewardCondition(UNetShape.of(unet)).eval()
    condition.load_state_dict(condition_weights)
    return ConditionedUNet(unet, {"reward": condition})


def answer(network, given):
    reward = {"scores": given["scores"], "pooled": given["pooled"]}
    return network(given["sample"], given["timestep"], given["words"], {"reward": reward})


def linear(weights, name, values):
    return values @ weights[f"{name}.weight"].flatten(1).T + weights[f"{name}.bias"]


def mlp(weights, name, values):
    inner = linear(weights, f"{name}.linear_1", values)
    return linear(weights, f"{name}.linear_2", inner * torch.sigmoid(inner))


def normalised(weights, name, values):
    mean = values.mean(-1, keepdim=True)
    variance = (values - mean).square().mean(-1, keepdim=True)
    scaled = (values - mean) / (variance + 1e-12).sqrt()
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def heads(values):
    """Reshape [batch, n, width] to [batch, 8, n, width / 8]."""
    return values.unflatten(-1, (8, -1)).transpose(1, 2)


def rewarded(weights, features, tokens):
    """proj_deal around ca: features [batch, c, h, w] attend to two tokens [batch, 2, c]."""
    entered = functional.group_norm(
        features, 8, weights["proj_deal.norm.weight"], weights["proj_deal.norm.bias"], eps=1e-6
    )
    queries = linear(weights, "proj_deal.proj_in", entered.permute(0, 2, 3, 1).flatten(1, 2))
    query, key, value = (
        heads(linear(weights, f"ca.attention.self.{name}", values))
        for name, values in [("query", queries), ("key", tokens), ("value", tokens)]
    )
    weighed = (query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1) @ value
    seen = linear(weights, "ca.attention.output.dense", weighed.transpose(1, 2).flatten(2))
    seen = normalised(weights, "ca.attention.output.LayerNorm", seen + queries)
    inner = linear(weights, "ca.hidden_intermediate.dense", seen)
    inner = 0.5 * inner * (1 + torch.erf(inner / math.sqrt(2)))
    left = normalised(
        weights, "ca.output.LayerNorm", linear(weights, "ca.output.dense", inner) + seen
    )
    left = linear(weights, "proj_deal.proj_out", left).transpose(1, 2)
    return left.reshape(features.shape) + features


def recomputed(weights, given):
    """The released forward pass: a plain UNet's blocks with the authors' additions."""
    unet = tiny_unet(8)
    frequencies = torch.exp(-math.log(10000) * torch.arange(128) / 128)
    angles = given["scores"][..., None] * frequencies
    scores = torch.cat([angles.cos(), angles.sin()], dim=-1).flatten(1)
    time = unet.time_embedding(unet.time_proj(given["timestep"]))
    time = time + mlp(weights, "add_embedding", scores)
    time = time + linear(weights, "text_linear2", given["pooled"])
    text = linear(weights, "text_linear", given["pooled"])
    tokens = torch.stack([mlp(weights, "add_embedding2", scores), text], dim=1)
    hidden = rewarded(weights, unet.conv_in(given["sample"]), tokens)
    skips, words = (hidden,), {"encoder_hidden_states": given["words"]}
    first, second = unet.down_blocks
    hidden, made = first(hidden, time, **words)
    skips += made
    hidden, made = second(hidden, time)
    skips += made
    hidden = unet.mid_block(hidden, time, **words)
    first, second = unet.up_blocks
    hidden = first(hidden, skips[-2:], time)
    hidden = second(hidden, skips[:-2], time, **words)
    return unet.conv_out(unet.conv_act(unet.conv_norm_out(hidden)))


@torch.no_grad()
def test_the_released_forward_pass_is_the_same_computed_independently() -> None:
    given = edit()
    expected = recomputed(released_weights(), given)
    assert expected.abs().max() > 0.1
    assert torch.allclose(answer(ours(), given), expected, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS)
@torch.no_grad()
def test_every_released_layer_counts(layer) -> None:
    weights, given = released_weights(), edit()
    before = recomputed(weights, given)
    weights[f"{layer}.weight"] = 2 * weights[f"{layer}.weight"]
    after = recomputed(weights, given)
    assert not torch.allclose(after, before, rtol=0, atol=1e-3)
    assert torch.allclose(answer(ours(weights), given), after, rtol=0, atol=1e-5)


@torch.no_grad()
def test_scores_and_text_both_count() -> None:
    network, given = ours(), edit()
    asked = answer(network, given)
    assert not torch.allclose(asked, answer(network, given | {"scores": torch.ones(2, 3)}))
    assert not torch.allclose(asked, answer(network, given | {"pooled": torch.ones(2, TEXT)}))


@torch.no_grad()
def test_an_edit_is_the_same_beside_others() -> None:
    network = ours()
    together = answer(network, edit(3))
    assert torch.allclose(answer(network, edit(1)), together[:1], rtol=0, atol=1e-5)


def test_gradients_reach_every_weight() -> None:
    network = ours().train()
    answer(network, edit()).square().mean().backward()
    silent = [name for name, each in network.named_parameters() if not each.grad.any()]
    assert silent == []


def test_it_drops_out_in_training_only() -> None:
    network, given = ours(), edit()
    torch.manual_seed(0)
    assert torch.equal(answer(network, given), answer(network, given))
    network.train()
    assert not torch.equal(answer(network, given), answer(network, given))


@pytest.mark.parametrize("missing", ["scores", "pooled"])
def test_what_it_reads_must_be_given(missing) -> None:
    condition = ReleasedRewardCondition(UNetShape.of(tiny_unet(8)))
    inputs = {"scores": torch.ones(2, 3), "pooled": torch.ones(2, TEXT)}
    del inputs[missing]
    with pytest.raises(ValueError, match=f"pass `{missing}`"):
        condition(**inputs)


def test_a_score_that_is_not_given_is_refused() -> None:
    condition = ReleasedRewardCondition(UNetShape.of(tiny_unet(8)))
    inputs = {"scores": torch.ones(2, 3), "pooled": torch.ones(2, TEXT)}
    condition(**inputs, keep=torch.ones(2, 3))
    with pytest.raises(ValueError, match="needs every score"):
        condition(**inputs, keep=torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]]))
    assert not condition.droppable


def test_an_xl_unet_takes_it_by_the_width_of_its_pooled_text() -> None:
    shape = UNetShape.of(tiny_unet(8, xl=True))
    assert (shape.text, shape.pooled) == (2 * TEXT_WIDTH, TEXT_WIDTH)
    injected = ReleasedRewardCondition(shape)(torch.ones(2, 3), pooled=torch.ones(2, TEXT_WIDTH))
    assert injected.time.shape == (2, shape.time)


@pytest.mark.parametrize("key", ["ca.output.dense.bias", "text_linear2.weight"])
def test_a_missing_weight_is_named(key) -> None:
    weights = released_weights()
    del weights[key]
    with pytest.raises(StoreError, match=f"missing weights: {key}\n"):
        split_released(weights)


def test_a_unet_without_its_own_layers_is_named() -> None:
    weights = {key: each for key, each in released_weights().items() if "mid_block" not in key}
    with pytest.raises(StoreError, match="missing weights: mid_block\n"):
        split_released(weights)


@pytest.mark.parametrize("key", ["img_linear.weight", "ca.output.dense.scale", "conv_inner.bias"])
def test_an_unknown_weight_is_named(key) -> None:
    with pytest.raises(StoreError, match=f"unknown weights: {key}\n"):
        split_released(released_weights() | {key: torch.zeros(1)})
