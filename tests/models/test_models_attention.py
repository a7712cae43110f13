import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from diffusers.models.attention_processor import AttnProcessor2_0

from editloop.models.attention import (
    Blend,
    Control,
    PairControl,
    blend_mask,
    controlled,
    sample_pairs,
)
from editloop.models.prompts import PromptEdit
from tiny_baselines import deep_unet
from tiny_pipelines import TEXT_WIDTH

TOKENS, SIZE, STEPS = 77, (16, 16), 4


@pytest.fixture(scope="module")
def unet():
    return deep_unet().double()


def identity() -> PromptEdit:
    return PromptEdit(torch.eye(TOKENS), torch.ones(TOKENS))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=random, dtype=torch.float64)


def prompts(pairs: int = 1) -> torch.Tensor:
    return noise(2 * pairs, TOKENS, TEXT_WIDTH, seed=1)


def control(*, cross=1.0, itself=1.0, pairs=1, blend=None, edit=None) -> PairControl:
    return PairControl([edit or identity()] * pairs, Control(STEPS, cross, itself), SIZE, blend)


@torch.no_grad()
def sampled(unet, made, texts, start, guidance=2.0) -> torch.Tensor:
    scheduler = DDIMScheduler(clip_sample=False)
    scheduler.set_timesteps(STEPS)

    def predict(latents, timestep, text):
        return unet(latents, timestep, encoder_hidden_states=text).sample

    empty = [torch.zeros(1, TOKENS, TEXT_WIDTH, dtype=torch.float64)] * STEPS
    with controlled(unet, made):
        return sample_pairs(
            predict, scheduler, start, texts, empty, guidance=guidance, control=made
        )


def test_equal_prompts_give_equal_pictures(unet) -> None:
    same = prompts()[:1].expand(2, -1, -1)
    source, target = sampled(unet, control(), same, noise(1, 4, *SIZE))
    torch.testing.assert_close(source, target)


def test_without_control_a_pair_is_two_plain_samples(unet) -> None:
    texts, start = prompts(), noise(1, 4, *SIZE)
    made = sampled(unet, control(cross=0, itself=0), texts, start)
    scheduler = DDIMScheduler(clip_sample=False)
    scheduler.set_timesteps(STEPS)
    for row, text in zip(made, texts, strict=True):
        latents = start
        for timestep in scheduler.timesteps:
            with torch.no_grad():
                told = unet(latents, timestep, encoder_hidden_states=text[None]).sample
                none = unet(
                    latents, timestep, encoder_hidden_states=torch.zeros_like(text)[None]
                ).sample
            latents = scheduler.step(2 * told - none, timestep, latents).prev_sample
        torch.testing.assert_close(row[None], latents)


def test_controlled_attention_that_changes_nothing_equals_plain_attention(unet) -> None:
    """Maps are only read, so attention without fusing gives the same output."""
    texts, start = prompts(), noise(1, 4, *SIZE)
    reading = Blend(torch.ones(2, TOKENS), start=1.0)
    read = sampled(unet, control(cross=0, itself=0, blend=reading), texts, start)
    plain = sampled(unet, control(cross=0, itself=0), texts, start)
    torch.testing.assert_close(read, plain)


def test_the_source_is_what_it_would_be_alone(unet) -> None:
    texts, start = prompts(), noise(1, 4, *SIZE)
    beside = sampled(unet, control(), texts, start)
    alone = sampled(unet, control(cross=0, itself=0), texts, start)
    torch.testing.assert_close(beside[0], alone[0])
    assert (beside[1] - alone[1]).abs().max() > 1e-3


def test_pairs_in_a_batch_don_t_touch_each_other(unet) -> None:
    texts, start = prompts(pairs=2), noise(2, 4, *SIZE)
    together = sampled(unet, control(pairs=2), texts, start)
    second = sampled(unet, control(), texts[2:], start[1:])
    torch.testing.assert_close(together[2:], second)


def rows(count: int, pixels: int = 16) -> torch.Tensor:
    return noise(count, 2, pixels, TOKENS).softmax(dim=-1)


def test_replaced_maps_equal_the_source_s() -> None:
    given = rows(4)
    made = control()
    for cross in (True, False):
        used = made.put_in(given, cross=cross)
        assert torch.equal(used[:3], given[:3])  # the unconditional rows and the source
        torch.testing.assert_close(used[3], given[2])


def test_an_edit_is_put_in_row_by_row() -> None:
    given = rows(4)
    taken = torch.zeros(TOKENS)
    taken[5:] = 1
    edit = PromptEdit(torch.eye(TOKENS).roll(1, dims=1), taken)
    used = control(edit=edit).put_in(given, cross=True)[3].numpy()
    old, new = given[2].numpy(), given[3].numpy()
    wanted = np.concatenate([new[..., :5], np.roll(old, 1, axis=-1)[..., 5:]], axis=-1)
    np.testing.assert_allclose(used, wanted, atol=1e-6)


def test_control_ends_after_its_share_of_the_steps() -> None:
    made = control(cross=0.5, itself=0.25)
    crosses, selves = [], []
    for made.step in range(STEPS):
        crosses.append(made.concerns(pixels=256, cross=True))
        selves.append(made.concerns(pixels=16, cross=False))
    assert crosses == [True, True, False, False]
    assert selves == [True, False, False, False]


def test_fine_self_attention_is_left_alone() -> None:
    made = control()
    assert made.concerns(pixels=16, cross=False)
    assert not made.concerns(pixels=64, cross=False)


def test_the_unet_is_afterwards_as_it_was(unet) -> None:
    before = unet.attn_processors
    with controlled(unet, control()):
        assert not any(isinstance(each, AttnProcessor2_0) for each in unet.attn_processors.values())
    assert unet.attn_processors == before


def test_a_blend_mask_is_where_the_words_attend() -> None:
    maps = torch.zeros(2, 16, TOKENS)  # 4 x 4
    maps[0, 0, 3] = 1.0  # the source's word: the first corner
    maps[1, 15, 7] = 0.5  # the target's word: the last corner
    maps[1, 3, 7] = 0.1  # below the threshold: a fifth of the maximum
    maps[:, 12, 9] = 9.0  # another word
    words = torch.zeros(2, TOKENS)
    words[0, 3] = words[1, 7] = 1
    mask = blend_mask(maps, words, (4, 4), (8, 8), threshold=0.3)[0, 0]
    wanted = torch.zeros(8, 8, dtype=torch.bool)
    wanted[:4, :4] = wanted[4:, 4:] = True  # pooling takes in the neighbours
    assert torch.equal(mask, wanted)


def test_blending_keeps_the_source_elsewhere() -> None:
    words = torch.zeros(2, TOKENS)
    words[:, 3] = 1
    made = control(blend=Blend(words, start=0.5))
    given = torch.zeros(2, 1, 16, TOKENS)
    given[:, :, 0, 3] = 1.0
    made.put_in(given, cross=True)
    latents = noise(2, 4, *SIZE)
    assert torch.equal(made.blended(latents), latents)  # blending has not begun
    made.step = 2
    blended = made.blended(latents)
    assert torch.equal(blended[0], latents[0])
    assert torch.equal(blended[1, :, :8, :8], latents[1, :, :8, :8])
    assert torch.equal(blended[1, :, 8:], latents[0, :, 8:])


def test_without_changed_words_nothing_is_blended(unet) -> None:
    texts, start = prompts(), noise(1, 4, *SIZE)
    blend = Blend(torch.zeros(2, TOKENS), start=0.0)
    blended = sampled(unet, control(cross=0.5, blend=blend), texts, start)
    torch.testing.assert_close(blended, sampled(unet, control(cross=0.5), texts, start))


def test_pictures_of_any_shape_are_blended(unet) -> None:
    words = torch.zeros(2, TOKENS)
    words[:, 1:4] = 1
    made = PairControl([identity()], Control(STEPS, 0.5, 0.5), (12, 20), Blend(words, 0.9999, 0.0))
    pair = sampled(unet, made, prompts(), noise(1, 4, 12, 20))
    assert pair.shape == (2, 4, 12, 20)
    assert (pair[0] == pair[1]).any()
    assert not torch.equal(pair[0], pair[1])
