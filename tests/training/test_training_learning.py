"""Gradients reach all trained weights: tiny models overfit eight edits, in each setup.

Bases with random weights predict the picture itself, which is what is learned fastest; their
autoencoder's scale is set so that latents spread by about 1, as trained ones do.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from diffusion_runs import diffusion, train_context
from editloop.images.codec import decode, encode_png
from editloop.kernel.steps import StepContext
from editloop.models.backbones.base_loading import load_trained
from editloop.models.backbones.sampling import denoised
from editloop.models.guidance import branches
from editloop.models.inputs import EditInputs
from editloop.registry import create
from editloop.schema import PERSPECTIVES, Score
from editloop.storage.manifests import record_manifest
from editloop.storage.samples import read_samples
from editloop.training.buckets import CENTRE
from networks import publish
from tiny_pipelines import CHANNELS, save_instruct_pix2pix

pytestmark = pytest.mark.slow

SIZE = 16
EDITS = 8
BY_HEART = {
    "size": SIZE,
    "steps": 280,
    "batch": EDITS,
    "learning_rate": 4e-3,
    "schedule": "cosine",
    "flip": False,
    "average": None,
    "drop": {"text": 0, "source": 0, "both": 0},
    "optimiser": {"weight_decay": 0},
    "checkpoint_every": 280,
}
WORST = Score(0.0, False, "nothing right"), (0.0, 0.0, 0.0), "; ".join(["nothing right"] * 3)
BEST = Score(5.0, True, "None"), (5.0, 5.0, 5.0), "; ".join(["None"] * 3)


def base(folder):
    """A tiny Stable Diffusion that predicts the picture, whose latents spread by about 1."""
    save_instruct_pix2pix(folder)
    schedule = {
        "_class_name": "DDIMScheduler",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "prediction_type": "sample",
        "clip_sample": False,
        "timestep_spacing": "trailing",
    }
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(schedule))
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "DDIMScheduler"]
    (folder / "model_index.json").write_text(json.dumps(index))
    vae = AutoencoderKL.from_pretrained(folder / "vae")
    vae.register_to_config(scaling_factor=3.6)
    with torch.no_grad():  # the posterior has almost no variance
        vae.quant_conv.weight[CHANNELS:] = 0
        vae.quant_conv.bias[CHANNELS:] = -20
    vae.save_pretrained(folder / "vae")
    return str(folder)


def darkroom_edits():
    """Eight edits of photos, as the darkroom makes them, without faults."""
    photos = create("source", "photos", {"size": 64, "train": EDITS, "heldout": 0})
    loaded = [out.samples[0] for out in photos.load(list(photos.items()))]
    looks = ["night", "sepia", "black-and-white", "brighter"]
    step = create("build", "darkroom", {"operations": looks, "fault_rate": {"train": 0.0}})
    step.setup(StepContext(seed=5, split="train"))
    made = [sample for out in step.process(loaded) for sample in out.samples]
    best = dict.fromkeys(PERSPECTIVES, BEST[0])
    return [replace(sample, scores=best) for sample in made[:EDITS]]


def learned(tmp_path, samples, **changes):
    run = tmp_path / "run"
    publish(run, "train", samples)
    record_manifest(run, "data", sorted((run / "data").iterdir()))
    here = train_context(run, "tiny")
    made = diffusion(base(tmp_path / "base"), **{**BY_HEART, **changes}).run(here)
    return load_trained(here.output), list(read_samples(run / "data", "train")), made.results


def edited(model, samples, scores, words):
    """Latents of the samples' edits, and of their targets and sources at the same scale."""
    pictures = {
        name: model.autoencoder.posterior(
            torch.from_numpy(np.stack([_seen(getattr(each, name)) for each in samples]))
        ).mean
        for name in ("source", "target")
    }
    count = len(samples)
    inputs = EditInputs(
        model.autoencoder.shown(pictures["source"]),
        model.texts.ids([each.instruction for each in samples]),
    )
    if "mask" in model.conditions:
        inputs = inputs.with_({"mask": model.blank_mask(SIZE, SIZE).expand(count, -1, -1, -1)})
    if "reward" in model.conditions:
        given = {"scores": torch.tensor([scores] * count), "keep": torch.ones(count, 3)}
        inputs = inputs.with_({**given, "reward_text": model.texts.ids([words] * count)})
    model.denoiser.eval()
    made = denoised(
        model,
        inputs,
        [torch.Generator().manual_seed(each) for each in range(count)],
        scheduler=model.scheduler,
        steps=10,
        chosen=branches(1.0, 1.0),
    )
    learn = model.autoencoder.learned
    return made, learn(pictures["target"]), learn(pictures["source"])


def _seen(image):
    return CENTRE.of(decode(image.bytes), (SIZE, SIZE))


def distance(one, other):
    return (one - other).square().mean().item()


@pytest.mark.parametrize(
    "changes", [{}, {"conditions": ("source", "mask")}], ids=["source", "mask"]
)
def test_eight_edits_are_learned_by_heart(tmp_path, changes) -> None:
    model, samples, results = learned(tmp_path, darkroom_edits(), **changes)
    made, targets, sources = edited(model, samples, *BEST[1:])
    nothing_done = distance(sources, targets)
    assert results["final_loss"] < 0.03 * targets.var().item()
    assert distance(made, targets) < 0.4 * nothing_done


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_the_score_decides_where_scores_have_opposite_targets(tmp_path, variant) -> None:
    samples = []
    for sample in darkroom_edits()[: EDITS // 2]:
        source = decode(sample.source.bytes)
        for place, (score, _, _) in enumerate((BEST, WORST)):
            target = sample.target if place == 0 else _negative(sample, source)
            scores = dict.fromkeys(PERSPECTIVES, score)
            name = f"{sample.id}-{place}"
            samples.append(replace(sample, id=name, target=target, scores=scores))
    model, stored, _ = learned(
        tmp_path, samples, conditions=("source", "reward"), reward={"variant": variant}
    )
    good, bad = stored[0::2], stored[1::2]
    asked_best, best, _ = edited(model, good, *BEST[1:])
    asked_worst, worst, _ = edited(model, bad, *WORST[1:])
    apart = distance(best, worst)
    assert distance(asked_best, best) < 0.2 * apart
    assert distance(asked_worst, worst) < 0.2 * apart


def _negative(sample, source):
    return replace(sample.target, bytes=encode_png(255 - source))
