import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from editloop.editors.pocket import PocketEditor, PocketEditorSettings
from editloop.errors import RecipeError, StoreError, TrainingError
from editloop.loop.parts import PartContext
from editloop.models.saving import INDEX, load_model
from editloop.registry import create
from editloop.settings import validate
from editloop.training import checkpoints
from editloop.training.cache import open_cache
from editloop.training.edits import EditTask
from editloop.training.objective import Objective
from editloop.training.pocket import PocketTraining, PocketTrainingSettings
from editloop.training.pocket_samples import PocketSamples
from networks import SIZE, awake, edit_samples, pocket, publish

REWARD = ("source", "reward")


@pytest.fixture
def run(tmp_path):
    publish(tmp_path, "train", edit_samples(6))
    publish(tmp_path, "heldout", edit_samples(3, "heldout"))
    return tmp_path


def context(run, name="tiny", **changes):
    folders = {each: run / name / each for each in ("work", "cache", "output")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    made = PartContext(name=name, seed=0, run=run, inputs="data-1", **folders)
    return replace(made, **changes)


def training(**changes):
    usual = {"size": SIZE, "channels": (8, 16), "steps": 4, "batch": 2, "precision": "fp32"}
    return PocketTraining(PocketTrainingSettings(**{**usual, **changes}))


def digests(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).digest() for path in files}


def test_a_recipe_makes_it_by_its_kind() -> None:
    assert isinstance(create("train", "pocket", {"steps": 3}), PocketTraining)


def test_it_leaves_a_model_its_metrics_and_its_card(run) -> None:
    here = context(run)
    training().run(here)
    model = load_model(here.output)
    assert model.settings.size == SIZE
    index = json.loads((here.output / INDEX).read_text())
    assert index["facts"]["data"] == "data-1"
    lines = (here.output / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [4]
    assert "# tiny" in (here.output / "README.md").read_text()


def test_results_hold_facts_and_timings_hold_times(run) -> None:
    made = training().run(context(run))
    assert set(made.results) == {
        "samples",
        "steps",
        "parameters",
        "precision",
        "final_loss",
        "validation_loss",
    }
    assert made.results["samples"] == 6
    assert made.timings["steps_per_second"] > 0


@pytest.mark.slow
def test_kept_checkpoints_are_editors_and_the_best_is_named(run, monkeypatch) -> None:
    losses = {2: 0.1, 4: 0.3, 6: 0.2}
    monkeypatch.setattr(EditTask, "validate", lambda _self, _network, step: losses[step])
    here = context(run)
    made = training(steps=6, checkpoint_every=2, keep=2).run(here).results
    assert made["checkpoints"] == [2, 4, 6]
    assert (made["best_checkpoint"], made["best_validation_loss"]) == (2, 0.1)
    folders = {step: here.output / f"checkpoints/step-{step:08d}" for step in (2, 4, 6)}
    assert sorted(folders.values()) == sorted((here.output / "checkpoints").iterdir())
    weights = "unet/diffusion_pytorch_model.safetensors"
    found = [(path / weights).read_bytes() for path in folders.values()]
    assert len(set(found)) == 3
    assert found[-1] == (here.output / weights).read_bytes()
    for step, path in folders.items():
        assert load_model(path).settings.size == SIZE
        facts = json.loads((path / INDEX).read_text())["facts"]
        assert (facts["steps"], facts["validation_loss"]) == (step, losses[step])
        state = checkpoints.load_weights(here.work / "checkpoints", step)
        average = state["average"]["shadow_params"][0]
        assert torch.equal(next(load_model(path).parameters()), average)
    card = (here.output / "README.md").read_text()
    assert "best of them by validation is `checkpoints/step-00000002`, with a loss of 0.1" in card


@pytest.mark.slow
def test_the_fingerprint_of_an_editor_is_that_of_its_own_weights(run) -> None:
    prints = []
    for keep in (1, 2):
        here = context(run, f"keep-{keep}/tiny")
        training(checkpoint_every=2, keep=keep).run(here)
        (here.output / INDEX).write_bytes(b"{}")  # names what is kept
        prints.append(PocketEditor(PocketEditorSettings(target=str(here.output))).fingerprint)
    assert prints[0] == prints[1]


def test_checkpoints_are_no_reason_for_a_new_version() -> None:
    usual = training().parameters
    assert training(keep=5, checkpoint_every=3).parameters == usual
    assert training().extends({**usual, "steps": 3})
    assert training().continues({**usual, "steps": 3})
    assert not training().extends({**usual, "steps": 3, "batch": 1})
    with pytest.raises(TrainingError, match="steps: 5 -> 4"):
        training().extends({**usual, "steps": 5})


@pytest.mark.slow
@pytest.mark.parametrize("conditions", [("source",), ("source", "mask", "reward")])
def test_the_same_training_makes_the_same_files(run, conditions) -> None:
    made = [context(run, name) for name in ("tiny", "other/tiny")]
    results = [
        training(conditions=conditions).run(replace(here, name="tiny")).results for here in made
    ]
    assert results[0] == results[1]
    assert digests(made[0].output) == digests(made[1].output)


@pytest.mark.slow
def test_interrupted_and_run_again_it_makes_the_same_files(run, monkeypatch) -> None:
    whole = replace(context(run, "whole"), name="tiny")
    trainer = training(conditions=REWARD, steps=6)
    trainer.run(whole)
    parts = replace(context(run, "parts"), name="tiny")
    usual = EditTask.loss
    left = iter(range(3))

    def interrupted(self, network, batch):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return usual(self, network, batch)

    monkeypatch.setattr(EditTask, "loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.run(parts)
    monkeypatch.undo()
    trainer.run(parts)
    assert digests(parts.output) == digests(whole.output)
    states = [checkpoints.load_newest(each.work / "checkpoints") for each in (whole, parts)]
    pairs = zip(states[0]["network"].values(), states[1]["network"].values(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_without_heldout_data_there_is_no_validation_loss(tmp_path) -> None:
    publish(tmp_path, "train", edit_samples(4))
    made = training().run(context(tmp_path))
    assert made.results["validation_loss"] is None
    assert made.results["final_loss"] > 0


def test_another_split_can_be_trained_on(run) -> None:
    publish(run, "clean", edit_samples(5, "clean"))
    assert training(split="clean").run(context(run)).results["samples"] == 5


def test_a_split_that_is_not_there_is_named(run) -> None:
    with pytest.raises(StoreError, match="absent"):
        training(split="absent").run(context(run))


def test_rewards_without_scores_are_refused(tmp_path) -> None:
    publish(tmp_path, "train", [replace(each, scores={}) for each in edit_samples(4)])
    with pytest.raises(TrainingError, match="no reward scores"):
        training(conditions=REWARD).run(context(tmp_path))


@pytest.mark.parametrize(
    "content",
    [
        {"steps": 0},
        {"learning_rate": 0},
        {"loss": "hinge"},
        {"precision": "int1"},
        {"conditions": ["reward"]},
        {"reward": {"injection": []}},
        {"speed": 3},
    ],
)
def test_bad_settings_are_refused(content) -> None:
    with pytest.raises(RecipeError, match=next(iter(content))):
        validate(PocketTrainingSettings, content, where="train.tiny")


def task_of(tmp_path, *conditions):
    samples = edit_samples(6)
    model = pocket(*conditions)
    cache = open_cache(tmp_path, "k", SIZE, lambda: samples)
    read = PocketSamples(cache, model)
    objective = Objective("rms", timesteps="mostly-last")
    return model, EditTask(model, read, read, objective, bf16=False, seed=1)


def test_samples_become_latents_ids_and_scores(tmp_path) -> None:
    model, task = task_of(tmp_path, "mask", "reward")
    clean, inputs = task.samples.read(np.array([1, 2]), None)
    assert clean.shape == inputs.source.shape == (2, 48, 8, 8)
    assert inputs.scores.tolist() == [[0, 5, 5], [5, 5, 5]]
    assert inputs.mask.shape == (2, 1, SIZE, SIZE)
    assert not torch.equal(inputs.text[0], inputs.text[1])
    assert model.decode(clean)[0].max() <= 160


def test_a_model_without_rewards_is_shown_none(tmp_path) -> None:
    _, task = task_of(tmp_path)
    _, inputs = task.samples.read(np.array([0]), None)
    assert (inputs.mask, inputs.scores, inputs.keep, inputs.reward_text) == (None,) * 4


def test_the_loss_depends_on_its_seeds_only(tmp_path) -> None:
    model, task = task_of(tmp_path, "reward")
    awake(model)
    losses = [
        task.loss(model, task.batch(np.array([0, 1]), [seed, 9])).item() for seed in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]


def test_a_process_draws_for_its_own_samples_only(tmp_path) -> None:
    _, task = task_of(tmp_path, "mask", "reward")
    numbers, seeds = np.array([0, 3, 1, 2]), [11, 12, 13, 14]
    whole, own = task.batch(numbers, seeds), task.batch(numbers[1::2], seeds[1::2])
    for name in ("clean", "noise", "levels"):
        assert torch.equal(getattr(own, name), getattr(whole, name)[1::2]), name
    assert torch.equal(own.inputs.text, whole.inputs.text[1::2])


def test_validation_is_the_same_every_time(tmp_path) -> None:
    model, task = task_of(tmp_path, "reward")
    assert task.validate(model, 1) == task.validate(model, 2)
