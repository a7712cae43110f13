"""Samples for a training: from the cache of latents, and encoded as they are read."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from editloop.errors import TrainingError
from editloop.models.masks import mask_picture
from editloop.models.sampling import noise_like
from editloop.training.buckets import CENTRE, View
from editloop.training.direct_samples import Augmentation, DirectSamples
from editloop.training.edits import EditTask
from editloop.training.framing import Framing
from editloop.training.latent_samples import LatentSamples
from editloop.training.objective import Objective
from latent_data import SQUARE, model_at, opened, published_rows, varied

CONDITIONS = ("source", "mask", "reward")
SEEDS = [4, 7, 11, 8]  # even seeds are not flipped
BUCKETS = Framing(16, buckets=True, multiple=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("latents")


@pytest.fixture(scope="module")
def model(folder):
    return model_at(folder, "mask", "paper")


@pytest.fixture(scope="module")
def cached(folder, model):
    return LatentSamples(opened(folder, varied(9), model=model), model, CONDITIONS)


@pytest.fixture(scope="module")
def direct(folder, model):
    rows = published_rows(folder / "direct", varied(9))
    return DirectSamples(rows, model, SQUARE.framing, CONDITIONS)


def encoded(model, pictures):
    return model.autoencoder.posterior(torch.from_numpy(np.stack(pictures)))


def close(one, other):
    return torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("kind", ["cached", "direct"])
def test_without_seeds_samples_are_as_they_are_and_targets_are_means(request, model, kind) -> None:
    samples = request.getfixturevalue(kind)
    numbers = np.array([5, 0, 1, 3])
    clean, inputs = samples.read(numbers, None)
    originals = varied(9)
    seen = [SQUARE.framing.of(originals[number]) for number in numbers]
    target = encoded(model, [each.target for each in seen]).mean
    assert close(clean, model.autoencoder.learned(target))
    assert close(inputs.source, model.shown(torch.from_numpy(np.stack([s.source for s in seen]))))
    masks = np.stack([mask_picture(each.whole_mask) for each in seen])
    assert close(inputs.mask, model.shown(torch.from_numpy(masks)))
    texts = [originals[number].instruction for number in numbers]
    assert torch.equal(inputs.text, model.texts.ids(texts))
    assert torch.equal(inputs.reward_text, model.texts.ids(["None;None;None"] * 4))
    assert inputs.scores.tolist() == [[0, 5, 5], [5, 5, 5], [0, 5, 5], [0, 5, 5]]
    assert (inputs.keep == 1).all()
    kinds = (each.dtype for each in (clean, inputs.source, inputs.mask, inputs.scores, inputs.text))
    assert list(kinds) == [torch.float32] * 4 + [torch.int64]


def test_a_seed_decides_on_the_mirror_image_and_the_targets_noise(cached, model) -> None:
    numbers = np.array([0, 1, 2, 3])
    clean, inputs = cached.read(numbers, SEEDS)
    seen = [SQUARE.framing.of(varied(9)[number]) for number in numbers]
    mirrored = [
        [picture[:, ::-1] if seed % 2 else picture for picture in (each.source, each.target)]
        for each, seed in zip(seen, SEEDS, strict=True)
    ]
    found = encoded(model, [each[1] for each in mirrored])
    noise = noise_like(found.mean, [seed // 2 for seed in SEEDS])
    assert close(clean, model.autoencoder.learned(found.at(noise)))
    assert close(inputs.source, encoded(model, [each[0] for each in mirrored]).mean)


def test_a_sample_reads_the_same_in_any_company(cached) -> None:
    together, inputs = cached.read(np.array([2, 0, 5]), [3, 4, 5])
    alone, own = cached.read(np.array([0]), [4])
    assert torch.equal(together[1:2], alone)
    assert torch.equal(inputs.mask[1:2], own.mask)


def test_without_mirror_images_none_is_shown(tmp_path, model) -> None:
    cache = opened(tmp_path, varied(3), replace(SQUARE, flip=False), model=model)
    samples = LatentSamples(cache, model, CONDITIONS)
    numbers = np.array([0, 1, 2])
    _, odd = samples.read(numbers, [1, 3, 5])
    _, plain = samples.read(numbers, None)
    assert torch.equal(odd.source, plain.source)


def test_conditions_that_are_not_wanted_are_left_out(folder, model) -> None:
    cache = opened(folder, varied(9), model=model)
    _, inputs = LatentSamples(cache, model, ("source",)).read(np.array([0]), None)
    assert inputs.mask is inputs.scores is inputs.keep is inputs.reward_text is None


def test_masks_that_are_not_in_the_cache_are_refused(tmp_path, model) -> None:
    cache = opened(tmp_path, varied(1), replace(SQUARE, masks=False), model=model)
    with pytest.raises(TrainingError, match="no masks"):
        LatentSamples(cache, model, CONDITIONS)


@pytest.mark.parametrize("cached", [True, False])
def test_every_bucket_gives_batches_of_one_shape(tmp_path, model, cached) -> None:
    samples = varied(9)
    cache = opened(tmp_path, samples, replace(SQUARE, framing=BUCKETS), model=model)
    rows = published_rows(tmp_path / "run", samples)
    made = (
        LatentSamples(cache, model, CONDITIONS)
        if cached
        else DirectSamples(rows, model, BUCKETS, CONDITIONS)
    )
    assert [each.tolist() for each in made.buckets] == [[2, 5, 8], [0, 3, 6], [1, 4, 7]]
    for bucket in made.buckets:
        clean, inputs = made.read(bucket, [1, 2, 3])
        shape = made.shape(int(bucket[0]))
        assert clean.shape == inputs.source.shape == inputs.mask.shape == (3, *shape)
        assert made.blanks(int(bucket[0]))["mask"].shape == shape


@pytest.mark.parametrize("kind", ["cached", "direct"])
def test_blanks_are_no_text_and_a_white_mask(request, model, kind) -> None:
    blanks = request.getfixturevalue(kind).blanks(0)
    assert torch.equal(blanks["text"], model.texts.ids([""])[0])
    assert torch.equal(blanks["reward_text"], blanks["text"])
    white = torch.full((1, 16, 16, 3), 255, dtype=torch.uint8)
    assert torch.equal(blanks["mask"], model.shown(white)[0])


@pytest.mark.parametrize("kind", ["cached", "direct"])
def test_a_task_learns_from_them(request, model, kind) -> None:
    task = EditTask(
        model=model,
        samples=request.getfixturevalue(kind),
        heldout=request.getfixturevalue(kind),
        objective=Objective(),
        bf16=False,
        seed=1,
    )
    batch = task.batch(np.array([0, 3, 4]), [5, 6, 7])
    assert task.loss(model.denoiser, batch).isfinite()
    assert task.validate(model.denoiser, 1) > 0


def test_a_direct_sample_is_cut_by_its_seed_together_with_its_mask(folder, model) -> None:
    rows = published_rows(folder / "cut", varied(9))
    augmentation = Augmentation(zoom=1.5)
    samples = DirectSamples(rows, model, SQUARE.framing, CONDITIONS, augmentation)
    numbers, seeds = np.array([3, 4]), [12, 13]
    clean, inputs = samples.read(numbers, seeds)
    seen = [
        SQUARE.framing.of(varied(9)[number], augmentation.of(seed))
        for number, seed in zip(numbers, seeds, strict=True)
    ]
    found = encoded(model, [each.target for each in seen])
    assert close(clean, model.autoencoder.learned(found.at(noise_like(found.mean, seeds))))
    assert close(inputs.source, encoded(model, [each.source for each in seen]).mean)
    masks = [mask_picture(each.whole_mask) for each in seen]
    assert close(inputs.mask, encoded(model, masks).mean)


def test_views_follow_from_their_seeds_within_their_ranges() -> None:
    made = [Augmentation(zoom=1.5).of(seed) for seed in range(200)]
    assert made == [Augmentation(zoom=1.5).of(seed) for seed in range(200)]
    assert {each.flip for each in made} == {True, False}
    assert 1 <= min(each.zoom for each in made) < 1.1
    assert 1.4 < max(each.zoom for each in made) <= 1.5
    assert min(each.place[0] for each in made) < 0.1
    assert {each.flip for each in (Augmentation(flip=False).of(seed) for seed in range(50))} == {
        False
    }
    assert View() == CENTRE
