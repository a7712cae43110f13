import pytest
import torch
from diffusers import DDIMScheduler
from diffusers.models.attention_processor import AttnProcessor2_0

from editloop.models.attention import Control, PairControl, controlled, sample_pairs
from editloop.models.local_blend import LocalBlend
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


def blend(words: torch.Tensor, size=SIZE, **settings) -> LocalBlend:
    return LocalBlend(words, size, STEPS, **settings)


def control(*, cross=STEPS, itself=STEPS, pairs=1, blend=None, edit=None) -> PairControl:
    edits = [edit or identity()] * pairs
    return PairControl([Control(cross, itself)] * pairs, edits, most=16, blend=blend)


@torch.no_grad()
def sampled(unet, made, texts, start, guidance=2.0) -> torch.Tensor:
    scheduler = DDIMScheduler(clip_sample=False)
    scheduler.set_timesteps(STEPS)
    states = torch.cat([torch.zeros_like(texts), texts])

    def predict(_step, latents, timestep):
        given = torch.cat([latents, latents])
        none, told = unet(given, timestep, encoder_hidden_states=states).sample.chunk(2)
        return none + guidance * (told - none)

    with controlled(unet, made):
        return sample_pairs(predict, scheduler, start.repeat_interleave(2, 0), control=made)


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
    reading = blend(torch.ones(2, TOKENS), start=1.0)
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


def test_control_ends_after_its_steps_and_leaves_fine_self_attention_alone() -> None:
    made = control(cross=2, itself=1)
    found = []
    for made.step in range(STEPS):
        found.append((made.crosses(4), made.selves(4, 16), made.selves(4, 64)))
    assert found == [([3], [3], []), ([3], [], []), ([], [], []), ([], [], [])]
    assert made.acted == [Control(2, 1)]


def test_a_pair_s_own_steps_decide_and_unconditional_rows_can_be_controlled_too() -> None:
    made = PairControl([Control(0, 1), Control(0, 2)], unconditional=True)
    found = []
    for made.step in range(3):
        found.append((made.selves(8, 4096), made.selves(4, 4096)))
    assert found == [([1, 3, 5, 7], [1, 3]), ([3, 7], [3]), ([], [])]
    assert made.acted == [Control(0, 1), Control(0, 2)]


def test_the_unet_is_afterwards_as_it_was(unet) -> None:
    before = unet.attn_processors
    with controlled(unet, control()):
        assert not any(isinstance(each, AttnProcessor2_0) for each in unet.attn_processors.values())
    assert unet.attn_processors == before


def test_without_changed_words_nothing_is_blended(unet) -> None:
    texts, start = prompts(), noise(1, 4, *SIZE)
    nothing = blend(torch.zeros(2, TOKENS), start=0.0)
    blended = sampled(unet, control(cross=2, blend=nothing), texts, start)
    torch.testing.assert_close(blended, sampled(unet, control(cross=2), texts, start))


def test_pictures_of_any_shape_are_blended(unet) -> None:
    words = torch.zeros(2, TOKENS)
    words[:, 1:4] = 1
    where = blend(words, (12, 20), threshold=0.9999, start=0.0)
    made = PairControl([Control(2, 2)], [identity()], most=15, blend=where)
    pair = sampled(unet, made, prompts(), noise(1, 4, 12, 20))
    assert pair.shape == (2, 4, 12, 20)
    assert (pair[0] == pair[1]).any()
    assert not torch.equal(pair[0], pair[1])


def test_the_blend_sees_the_maps_as_they_are_with_control() -> None:
    """Those of each row alone, but the target's tokens that take the source's."""
    seen = []
    watched = blend(torch.ones(2, TOKENS))
    watched.see = seen.append  # type: ignore[method-assign]
    taken = torch.zeros(TOKENS)
    taken[5:] = 1
    edit = PromptEdit(torch.eye(TOKENS).roll(1, dims=1), taken)
    query, key = noise(4, 2, 16, 8), noise(4, 2, TOKENS, 8, seed=1)
    control(blend=watched, edit=edit).see(query, key, targets=[3])
    maps = (query @ key.mT / 8**0.5).softmax(-1)
    torch.testing.assert_close(seen[0][0], maps[2])
    torch.testing.assert_close(seen[0][1][..., :5], maps[3][..., :5])
    torch.testing.assert_close(seen[0][1][..., 5:], maps[2].roll(1, -1)[..., 5:])
