import math

import pytest
import torch
from pydantic import ValidationError

from editloop.models.reward import (
    MultiRewardCondition,
    RewardSettings,
    ScoreEmbedding,
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


def test_a_dropped_score_leaves_no_trace() -> None:
    embedding = ScoreEmbedding(12)
    keep = torch.tensor([[1.0, 0.0, 1.0]])
    low = embedding(torch.tensor([[5.0, 0.0, 3.0]]), keep)
    high = embedding(torch.tensor([[5.0, 4.0, 3.0]]), keep)
    assert torch.equal(low, high)


def test_a_dropped_score_is_not_a_score_of_zero() -> None:
    embedding = ScoreEmbedding(12)
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
    inputs = {
        "scores": torch.ones(2, 3),
        "keep": torch.ones(2, 3),
        "text": torch.ones(2, 4, 12),
    }
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
    ],
)
def test_settings_without_sense_are_refused(content) -> None:
    with pytest.raises(ValidationError):
        RewardSettings(**content)
