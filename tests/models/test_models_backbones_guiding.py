"""Guidance reused between steps: fewer rows, and exact where possible."""

import pytest
import torch
from diffusers import DDIMScheduler

from editloop.models.backbones.denoisers import Given
from editloop.models.backbones.guiding import Guide, reused_steps
from editloop.models.backbones.sampling import denoised
from editloop.models.backbones.texts import TextStates
from editloop.models.guidance import branches
from tiny_models import inputs_for, model_of

STEPS = 6
MODELS = {
    "sd": ("sd-edit", ()),
    "sd-mask-reward": ("sd", ("mask", "paper")),
    "sd-released": ("sd", ("released",)),
    "sdxl": ("sdxl-edit", ()),
    "sd3-mask": ("sd3", ("mask",)),
}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return tmp_path_factory.mktemp("bases")


@pytest.fixture(scope="module")
def model(bases):
    return model_of(bases, "sd-edit")


def sampled(model, inputs=None, seeds=(1, 2), scales=(7.5, 1.5), **named):
    scheduler = model.scheduler if model.family.name == "sd3" else DDIMScheduler()
    return denoised(
        model,
        inputs or inputs_for(model),
        [torch.Generator().manual_seed(seed) for seed in seeds],
        scheduler=scheduler,
        steps=STEPS,
        chosen=branches(*scales),
        **named,
    )


@pytest.mark.parametrize(
    ("count", "reused"),
    [
        (1, set()),
        (2, set()),
        (3, {1}),
        (4, {1}),
        (6, {1, 3}),
        (20, {3, 5, 7, 9, 11, 13, 15, 17}),
        (50, set(range(5, 45, 2))),
    ],
)
def test_every_second_step_but_for_the_ends(count, reused) -> None:
    assert reused_steps(count) == reused


@pytest.mark.parametrize(
    ("scales", "branches_run"), [((7.5, 1.5), 3), ((7.5, 1.0), 2), ((1.0, 1.0), 1)]
)
def test_in_between_one_branch_is_run(model, monkeypatch, scales, branches_run) -> None:
    rows, real = [], model.network.forward

    def call(first, *rest, **named):
        rows.append(len(first))
        return real(first, *rest, **named)

    monkeypatch.setattr(model.network, "forward", call)
    sampled(model, scales=scales, reuse_guidance=True)
    every, one = 2 * branches_run, 2
    assert rows == [every, one, every, one, every, every]


def test_it_is_exact_where_what_guidance_adds_stays() -> None:
    random = torch.Generator().manual_seed(0)
    source, noisy, later = torch.randn(3, 2, 4, 2, 2, generator=random)
    text = torch.randn(3, 1, generator=random)
    given = Given(source=source, text=TextStates(text, text))

    def denoiser(noisy, timestep, given):
        return (
            noisy * timestep[:, None, None, None]
            + given.source
            + given.text.hidden[..., None, None]
        )

    guide = Guide(denoiser, given, branches(7.5, 1.5), torch.float32, frozenset({1}))
    guide(0, noisy, torch.tensor(2.0))
    found = guide(1, later, torch.tensor(3.0))
    instruction = (text[:2] - text[2:])[..., None, None]
    expected = later * 3 + text[2:][..., None, None] + 1.5 * source + 7.5 * instruction
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_family_takes_it_with_its_conditions(bases, name) -> None:
    base, conditions = MODELS[name]
    model = model_of(bases, base, *conditions, new_weights="random")
    exact, reused = sampled(model), sampled(model, reuse_guidance=True)
    assert reused.isfinite().all()
    assert not torch.allclose(exact, reused, atol=1e-3)


def test_with_one_branch_it_is_exact(model) -> None:
    exact = sampled(model, scales=(1.0, 1.0))
    assert torch.equal(exact, sampled(model, scales=(1.0, 1.0), reuse_guidance=True))


def test_company_is_no_matter(model) -> None:
    inputs = inputs_for(model)
    both = sampled(model, inputs, reuse_guidance=True)
    alone = sampled(model, inputs.mapped(lambda each: each[1:]), [2], reuse_guidance=True)
    assert torch.allclose(both[1:], alone, atol=1e-4)
