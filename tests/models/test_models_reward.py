import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from editloop.models.released_reward import ReleasedRewardCondition
from editloop.models.reward import (
    AbsoluteScoreEmbedding,
    MultiRewardCondition,
    RewardSettings,
    ScoreEmbedding,
    reward_condition,
    saved_rewards,
    score_waves,
)
from editloop.models.wrapper import UNetShape
from networks import stable_diffusion_like


def test_waves_are_sines_and_cosines_of_four_octaves() -> None:
    waves = score_waves(torch.tensor([[2.0]]))[0, 0].tolist()
    angles = [2.0 / 5 * math.pi / 2 * octave for octave in (1, 2, 4, 8)]
    expected = [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
    assert waves == pytest.approx(expected, abs=1e-6)


def test_waves_tell_all_half_scores_apart() -> None:
    waves = score_waves(torch.arange(0, 5.5, 0.5)[None])[0]
    distances = torch.cdist(waves, waves) + 10 * torch.eye(len(waves))
    assert distances.min() > 0.5


EMBEDDINGS = [ScoreEmbedding, AbsoluteScoreEmbedding]


@pytest.mark.parametrize("made", EMBEDDINGS)
def test_a_dropped_score_leaves_no_trace(made) -> None:
    embedding = made(12)
    keep = torch.tensor([[1.0, 0.0, 1.0]])
    low = embedding(torch.tensor([[5.0, 0.0, 3.0]]), keep)
    high = embedding(torch.tensor([[5.0, 4.0, 3.0]]), keep)
    assert torch.equal(low, high)


@pytest.mark.parametrize("made", EMBEDDINGS)
def test_a_dropped_score_is_not_a_score_of_zero(made) -> None:
    embedding = made(12)
    scores = torch.zeros(1, 3)
    assert not torch.equal(
        embedding(scores, torch.ones(1, 3)), embedding(scores, torch.zeros(1, 3))
    )


@pytest.mark.parametrize(
    ("switches", "inputs"),
    [
        ({"text": False}, {"scores": torch.ones(2, 3), "keep": torch.ones(2, 3)}),
        ({"score": False}, {"text": torch.ones(2, 4, 12)}),
    ],
)
def test_what_is_switched_off_is_not_asked_for(switches, inputs) -> None:
    shape = UNetShape.of(stable_diffusion_like())
    ways = ("time", "attention", "addition")
    condition = MultiRewardCondition(RewardSettings(injection=ways, **switches), shape)
    injected = condition(**inputs)
    assert injected.time.shape == (2, shape.time)
    assert [each.shape[1] for each in injected.blocks] == list(shape.blocks)
    assert injected.features(torch.ones(2, shape.features, 3, 5)).shape == (2, shape.features, 3, 5)


@pytest.mark.parametrize(("missing", "word"), [("text", "text"), ("scores", "scores")])
def test_what_is_switched_on_must_be_given(missing, word) -> None:
    condition = MultiRewardCondition(RewardSettings(), UNetShape.of(stable_diffusion_like()))
    inputs = {"scores": torch.ones(2, 3), "keep": torch.ones(2, 3), "text": torch.ones(2, 4, 12)}
    del inputs[missing]
    with pytest.raises(ValueError, match=word):
        condition(**inputs)


@pytest.mark.parametrize(
    "content",
    [
        {"injection": ()},
        {"injection": ("time", "time")},
        {"injection": ("telepathy",)},
        {"score": False, "text": False},
        {"blocks": 0},
        {"variant": "modern"},
        {"variant": ["paper"]},
        {"variant": "paper", "injection": ["attention"]},
        {"variant": "released", "injection": ["time"]},
        {"variant": "released", "score": False},
        {"variant": "released", "text": False},
        {"variant": "released", "blocks": 2},
    ],
)
def test_settings_without_sense_are_refused(content) -> None:
    with pytest.raises(ValidationError):
        RewardSettings(**content)


def test_the_paper_embeds_scores_by_the_absolute_positional_encoding() -> None:
    """Vaswani et al., 2017, section 3.5: PE(s, 2i) = sin(s / 10000^(2i / d)), 2i + 1: cos."""
    embedding = AbsoluteScoreEmbedding(12)
    seen = []
    embedding.layers.register_forward_hook(lambda _layer, given, _made: seen.append(given[0]))
    embedding(torch.tensor([[5.0, 0.0, 2.5]]), torch.ones(1, 3))
    encoded = seen[0].reshape(3, 256).numpy()
    for score, own in zip((5.0, 0.0, 2.5), encoded, strict=True):
        angles = score / 10000 ** (np.arange(0, 256, 2) / 256)
        expected = np.concatenate([np.sin(angles), np.cos(angles)])
        assert np.abs(own - expected).max() < 1e-6


def test_the_paper_starts_at_random_and_ours_at_zero() -> None:
    """Section 6.1: MRC module, reward encoder and connected linear layers start at random."""
    shape = UNetShape.of(stable_diffusion_like())
    fixed = {"bias", "before_attention", "before_forward"}  # of torch's norms and linear layers

    def at_zero(settings: RewardSettings) -> set[str]:
        weights = reward_condition(settings, shape).named_parameters()
        return {name for name, each in weights if not each.any() and not fixed & {*name.split(".")}}

    assert at_zero(RewardSettings(variant="paper", blocks=2)) == set()
    ours = at_zero(RewardSettings(injection=("time", "attention", "addition")))
    assert {name.partition(".")[0] for name in ours} == {"time", "additions", "encoder"}


def test_the_papers_variant_is_attention_and_addition() -> None:
    named = RewardSettings(variant="paper", blocks=2, text=False)
    assert named.injection == ("attention", "addition")
    condition = reward_condition(named, UNetShape.of(stable_diffusion_like()))
    assert isinstance(condition, MultiRewardCondition)
    assert (len(condition.encoder), len(condition.additions), condition.time) == (2, 5, None)
    assert condition.droppable


def test_the_released_variant_is_a_condition_of_its_own() -> None:
    shape = UNetShape.of(stable_diffusion_like())
    condition = reward_condition(RewardSettings(variant="released"), shape)
    assert isinstance(condition, ReleasedRewardCondition)


@pytest.mark.parametrize("variant", ["editloop", "paper", "released"])
def test_a_variant_is_written_and_read_again(variant) -> None:
    named = RewardSettings(variant=variant)
    assert RewardSettings(**named.model_dump(mode="json")) == named
    assert saved_rewards(named.model_dump(mode="json")) == named


def test_ours_is_the_default_and_written_as_before_it_had_a_name() -> None:
    named = RewardSettings(variant="editloop", injection=("attention",))
    assert named == RewardSettings(injection=("attention",))
    written = named.model_dump(mode="json")
    assert written == {"injection": ["attention"], "score": True, "text": True, "blocks": 1}


def test_a_model_saved_when_paper_named_our_design_is_read_as_ours() -> None:
    ways = ["attention", "addition"]
    saved = {"variant": "paper", "injection": ways, "score": True, "text": True, "blocks": 2}
    assert saved_rewards(saved) == RewardSettings(injection=ways, blocks=2)


@pytest.mark.parametrize("variant", ["editloop", "paper", "released"])
def test_all_conditions_are_called_alike(variant) -> None:
    condition = reward_condition(
        RewardSettings(variant=variant), UNetShape.of(stable_diffusion_like())
    )
    ones = torch.ones(2, 3)
    condition(scores=ones, keep=ones, text=torch.ones(2, 4, 12), pooled=torch.ones(2, 12))
