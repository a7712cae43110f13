"""Fine-tuning published models: each family with its conditions, interrupted, resumed, saved."""

import errno
import hashlib
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors import SafetensorError
from typer.testing import CliRunner

import editloop
from diffusion_runs import SIZE, diffusion, saved_base, train_context, training_run
from editloop.cli import app
from editloop.editors.checkpoints import read_checkpoint
from editloop.errors import ChangedError, RecipeError, StoreError, TrainingError
from editloop.models.backbones.base_loading import load_trained
from editloop.models.backbones.families import FAMILIES
from editloop.models.backbones.sampling import denoised
from editloop.models.inputs import EditInputs
from editloop.registry import create
from editloop.settings import validate
from editloop.storage.manifests import record_manifest
from editloop.training.diffusion import DiffusionTraining
from editloop.training.diffusion_settings import DiffusionTrainingSettings
from editloop.training.edits import EditTask
from editloop.training.train import check, training_recipe
from networks import edit_samples, publish

pytestmark = pytest.mark.slow

ALL = ("source", "mask", "reward")
CASES = [
    ("sd", {"conditions": ("source",)}),
    ("sd", {"conditions": ALL, "reward": {"variant": "paper"}}),
    ("sd", {"conditions": ("source", "reward"), "reward": {"variant": "released"}}),
    ("sd", {"conditions": ALL, "lora": {"rank": 2}}),
    ("sdxl", {"conditions": ALL}),
    ("sd3", {"conditions": ("source", "mask")}),
    ("flux-kontext", {"conditions": ("source",), "lora": {"rank": 2}}),
]


def digests(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).digest() for path in files}


def answer(folder, seed=0):
    """Return a saved model's prediction for fixed noise under all kinds of conditions."""
    model = load_trained(folder)
    model.denoiser.eval()
    random = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (1, SIZE, SIZE, 3), generator=random, dtype=torch.uint8)
    inputs = EditInputs(model.shown(pixels), model.texts.ids(["make it brighter"]))
    if "mask" in model.conditions:
        inputs = inputs.with_({"mask": model.blank_mask(SIZE, SIZE)})
    if "reward" in model.conditions:
        scores = {"scores": torch.full((1, 3), 5.0), "keep": torch.ones(1, 3)}
        inputs = inputs.with_(scores | {"reward_text": model.texts.ids(["None; None; None"])})
    noisy = torch.randn(1, *model.noise_shape(SIZE, SIZE), generator=random)
    with torch.no_grad():
        return model.denoiser(noisy, model.levels.timestep[500:501], model.given(inputs))


def encoded(run):
    """Return the latent files of a run."""
    return list((run / ".editloop").rglob("shard-*"))


def test_a_recipe_makes_it_by_its_kind() -> None:
    made = create("train", "diffusion", {"base": "timbrooks/instruct-pix2pix", "steps": 3})
    assert isinstance(made, DiffusionTraining)


@pytest.mark.parametrize(("family", "changes"), CASES, ids=lambda value: str(value)[:40])
def test_it_trains_saves_loads_and_resumes_to_the_bit(
    tmp_path, monkeypatch, family, changes
) -> None:
    run = training_run(tmp_path / "run")
    trainer = diffusion(
        saved_base(family, tmp_path / "base"), steps=4, checkpoint_every=2, **changes
    )
    whole = train_context(run, "whole")
    made = trainer.run(whole)
    assert made.results["samples"] == 6
    assert made.results["final_loss"] > 0
    assert torch.isfinite(answer(whole.output)).all()

    usual, left = EditTask.loss, iter(range(3))

    def interrupted(self, network, batch):
        if network.training and next(left, None) is None:
            raise KeyboardInterrupt
        return usual(self, network, batch)

    parts = replace(train_context(run, "parts"), name="whole")
    monkeypatch.setattr(EditTask, "loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.run(parts)
    monkeypatch.undo()
    trainer.run(parts)
    assert digests(parts.output) == digests(whole.output)


def test_it_leaves_metrics_samples_and_a_card(tmp_path) -> None:
    here = train_context(training_run(tmp_path / "run"), "tiny")
    diffusion(saved_base("sd", tmp_path / "base"), steps=4, checkpoint_every=2, samples=2).run(here)
    lines = [json.loads(each) for each in (here.output / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "validation_loss" in line] == [2, 4]
    names = sorted(path.name for path in (here.output / "samples").iterdir())
    assert names == ["step-00000002.png", "step-00000004.png"]
    card = (here.output / "README.md").read_text()
    assert "StableDiffusionInstructPix2PixPipeline.from_pretrained" in card
    assert "| learning_rate |" in card


def test_a_run_of_training_alone_has_a_report_with_its_sheet(tmp_path) -> None:
    training_run(tmp_path / "run")
    out = tmp_path / "out"
    settings = {"steps": 2, "batch": 2, "size": SIZE, "checkpoint_every": 1, "samples": 1}
    base = saved_base("sd", tmp_path / "base")
    found = editloop.train(out=out, data=str(tmp_path / "run"), base=base, **settings)
    assert found["train"]["editor"]["steps"] == 2
    other = training_recipe(data=str(tmp_path / "run"), base=base, **{**settings, "batch": 3})
    with pytest.raises(ChangedError, match=r"parameters\.batch: 2 -> 3"):
        check(other, out)
    check(other, out, new_version=True)
    page = (out / "report.html").read_text()
    assert "editor after 2 steps" in page
    assert "truth judge" not in page
    assert editloop.verify(out) == []


@pytest.mark.parametrize("full", ["safetensors.torch.serialize_file", "shutil.copyfile"])
def test_a_disk_that_fills_under_the_model_is_told_and_gone_on_from(
    tmp_path, monkeypatch, full
) -> None:
    def fails(*_arguments, **_options):
        if full == "shutil.copyfile":
            raise OSError(errno.ENOSPC, "No space left on device")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    here = train_context(training_run(tmp_path / "run"), "tiny")
    trainer = diffusion(saved_base("sd", tmp_path / "base"))
    monkeypatch.setattr(full, fails)
    with pytest.raises(StoreError, match=r"save a model: No space left(.|\n)*free some disk space"):
        trainer.run(here)
    monkeypatch.undo()
    made = trainer.run(here)
    assert made.timings["steps_per_second"] is None
    assert torch.isfinite(answer(here.output)).all()


def test_what_is_trained_already_is_asked_for_nothing(tmp_path, monkeypatch) -> None:
    run, base = training_run(tmp_path / "run"), saved_base("sd", tmp_path / "base")
    settings = {"steps": 1, "batch": 2, "size": SIZE, "samples": 0}
    made = editloop.train(out=tmp_path / "out", data=str(run), base=base, **settings)
    monkeypatch.setattr("editloop.training.memory._free", lambda: 0)
    assert editloop.train(out=tmp_path / "out", data=str(run), base=base, **settings) == made


def test_a_second_training_of_the_same_data_encodes_nothing(tmp_path) -> None:
    run, base = training_run(tmp_path / "run"), saved_base("sd", tmp_path / "base")
    first = diffusion(base).run(train_context(run, "first"))
    second = diffusion(base, learning_rate=1e-4).run(train_context(run, "second"))
    assert first.timings["cache_seconds"] > 0
    assert second.timings["cache_seconds"] == 0


def test_after_nan_the_command_goes_on_at_a_lower_rate(tmp_path, monkeypatch) -> None:
    run, base, out = (
        training_run(tmp_path / "run"),
        saved_base("sd", tmp_path / "b"),
        tmp_path / "o",
    )
    usual, calls = EditTask.loss, iter(range(100))

    def spoiled(self, network, batch):
        loss = usual(self, network, batch)
        return loss * float("nan") if network.training and next(calls) == 3 else loss

    command = ["train", "--data", str(run), "--base", base, "--out", str(out)]
    for text in ("steps=6", "batch=2", "checkpoint_every=2", "samples=0", f"size={SIZE}"):
        command += ["--set", text]
    with monkeypatch.context() as patch:
        patch.setattr(EditTask, "loss", spoiled)
        ended = CliRunner().invoke(app, command)
    assert ended.exit_code != 0
    assert "the loss became NaN or infinite" in str(ended.exception)
    assert "step 4" in str(ended.exception)
    higher = CliRunner().invoke(app, [*command, "--set", "learning_rate=1e-3"])
    assert isinstance(higher.exception, ChangedError)
    ended = CliRunner().invoke(app, [*command, "--set", "learning_rate=2e-5"])
    assert ended.exit_code == 0, ended.output
    found = json.loads((out / "results.json").read_text())["train"]["editor"]
    assert found["learning_rates"] == [[0, 5e-5], [2, 2e-5]]
    card = (out / "models" / "editor" / "README.md").read_text()
    assert "| learning_rates | [[0, 5e-05], [2, 2e-05]] |" in card
    assert CliRunner().invoke(app, [*command, "--set", "learning_rate=2e-5"]).exit_code == 0


def trained_by_command(folder, out, *settings):
    command = ["train", "--data", folder / "run", "--base", folder / "b", "--out", folder / out]
    usual = ("batch=2", "checkpoint_every=2", "samples=0", f"size={SIZE}", "average=0.5")
    command += [word for each in (*usual, *settings) for word in ("--set", each)]
    return CliRunner().invoke(app, list(map(str, command)))


@pytest.mark.parametrize("settings", [("samples=1",), ("average=null",), ("lora.rank=2",)], ids=str)
def test_with_more_steps_the_command_trains_on_as_if_asked_at_once(tmp_path, settings) -> None:
    training_run(tmp_path / "run")
    saved_base("sd", tmp_path / "b")
    for out, steps in (("whole", 6), ("parts", 2), ("parts", 6)):
        ended = trained_by_command(tmp_path, out, f"steps={steps}", *settings)
        assert ended.exit_code == 0, ended.output
    models = [tmp_path / out / "models" / "editor" for out in ("whole", "parts")]
    assert digests(models[1]) == digests(models[0])
    told = " ".join(ended.output.split())
    assert "checkpoints of steps" in told
    assert "to train longer, raise its steps and run again" in told
    facts = json.loads((tmp_path / "parts/results.json").read_text())["train"]["editor"]
    assert facts["checkpoints"][-2:] == [4, 6]
    best = models[1] / f"checkpoints/step-{facts['best_checkpoint']:08d}"
    assert f"best by validation ({facts['best_validation_loss']:.4g}): {best}" in told
    states = [path.name for path in (tmp_path / "parts/.editloop").rglob("step-????????.pt")]
    assert states == ["step-00000006.pt"]
    assert editloop.verify(tmp_path / "parts") == []
    for step in facts["checkpoints"]:
        folder = models[1] / f"checkpoints/step-{step:08d}"
        assert read_checkpoint(str(folder), "unused").size == SIZE
        assert torch.equal(answer(folder), answer(models[1])) == (step == 6)
    shorter = trained_by_command(tmp_path, "parts", "steps=4", *settings)
    assert isinstance(shorter.exception, TrainingError)
    assert "steps: 6 -> 4" in str(shorter.exception)


def test_a_kept_checkpoint_is_the_editor_of_a_training_of_so_many_steps(tmp_path) -> None:
    run, base = training_run(tmp_path / "run"), saved_base("sd", tmp_path / "base")
    short, long = (train_context(run, name) for name in ("short", "long"))
    diffusion(base, steps=2).run(short)
    diffusion(base, steps=4, checkpoint_every=2).run(long)
    kept = long.output / "checkpoints/step-00000002"
    assert torch.equal(answer(kept), answer(short.output))
    vae = "vae/diffusion_pytorch_model.safetensors"
    assert (kept / vae).samefile(long.output / vae)
    assert not (kept / "unet/diffusion_pytorch_model.safetensors").samefile(
        long.output / "unet/diffusion_pytorch_model.safetensors"
    )


def test_a_longer_cosine_is_told_in_the_terminal_the_log_and_the_card(tmp_path) -> None:
    training_run(tmp_path / "run")
    saved_base("sd", tmp_path / "b")
    for steps in (2, 4):
        ended = trained_by_command(tmp_path, "out", f"steps={steps}", "schedule=cosine")
        assert ended.exit_code == 0, ended.output
    words = "from step 2 on, the learning rate follows the cosine of 4 steps"
    model = tmp_path / "out/models/editor"
    assert words in ended.output
    assert words in (model / "README.md").read_text()
    assert '"cosine_steps": 4' in (model / "metrics.jsonl").read_text()


def test_edits_of_several_runs_are_mixed(tmp_path, capsys) -> None:
    runs = [training_run(tmp_path / name) for name in ("region", "free-form")]
    base = saved_base("sd", tmp_path / "base")
    made = diffusion(base, data=list(map(str, runs)), steps=3, batch=4)
    assert made.run(train_context(runs[0], "mixed")).results["samples"] == 12
    assert len(made.parameters["data"]) == 2
    diffusion(base).run(train_context(runs[0], "alone"))
    assert "no longer here" not in capsys.readouterr().err


def test_of_a_prompts_pairs_one_is_drawn(tmp_path) -> None:
    run = training_run(tmp_path / "run")
    texts = {"instruction": "make it red", "source_caption": "a cat", "target_caption": "a red cat"}
    samples = edit_samples(6, "train")
    publish(run, "train", [replace(each, **texts) for each in samples[:4]] + samples[4:])
    record_manifest(run, "data", sorted((run / "data").iterdir()))
    made = diffusion(saved_base("sd", tmp_path / "base"), draw="prompts")
    results = made.run(train_context(run, "drawn")).results
    assert (results["samples"], results["prompts"]) == (6, 3)
    plain = diffusion(saved_base("sd", tmp_path / "base"))
    assert made.parameters["draw"] != plain.parameters["draw"]


def test_latents_of_older_data_are_told_with_their_place(tmp_path, capsys) -> None:
    run, base = training_run(tmp_path / "run"), saved_base("sd", tmp_path / "base")
    diffusion(base).run(train_context(run, "first"))
    assert "no longer here" not in capsys.readouterr().err
    (old,) = (path for path in (run / ".editloop/latents").iterdir())
    training_run(run, scored=False)
    diffusion(base).run(train_context(run, "second"))
    told = capsys.readouterr().err
    assert "no longer here" in told
    assert str(old.parent) in told
    assert told.rstrip().endswith(old.name)


def test_without_a_cache_it_learns_from_pixels(tmp_path) -> None:
    here = train_context(training_run(tmp_path / "run"), "tiny")
    made = diffusion(saved_base("sd", tmp_path / "base"), cache=False).run(here)
    assert made.results["final_loss"] > 0


def test_held_out_edits_may_be_none(tmp_path) -> None:
    run = training_run(tmp_path / "run")
    publish(run, "heldout", [])
    record_manifest(run, "data", sorted((run / "data").iterdir()))
    made = diffusion(saved_base("sd", tmp_path / "base"), samples=2).run(train_context(run, "tiny"))
    assert made.results["validation_loss"] is None


def test_zoomed_pictures_are_others_than_plain_ones(tmp_path) -> None:
    run, base = training_run(tmp_path / "run"), saved_base("sd", tmp_path / "base")
    losses = [
        diffusion(base, cache=False, zoom=zoom).run(train_context(run, f"by-{zoom}")).results
        for zoom in (1.0, 2.0)
    ]
    assert losses[0]["final_loss"] != losses[1]["final_loss"]


def test_rewards_without_scores_are_refused(tmp_path) -> None:
    run = training_run(tmp_path / "run", scored=False)
    trainer = diffusion(saved_base("sd", tmp_path / "base"), conditions=("source", "reward"))
    with pytest.raises(TrainingError, match="no reward scores"):
        trainer.run(train_context(run, "tiny"))
    assert not encoded(run)


def test_the_released_rewards_need_all_scores_of_every_sample(tmp_path) -> None:
    samples = [
        replace(each, scores={"quality": each.scores["quality"]}) for each in edit_samples(2)
    ]
    run = tmp_path / "run"
    publish(run, "train", samples)
    record_manifest(run, "data", sorted((run / "data").iterdir()))
    rewarded = {"conditions": ("source", "reward"), "reward": {"variant": "released"}}
    with pytest.raises(TrainingError, match="cannot handle missing scores"):
        diffusion(saved_base("sd", tmp_path / "base"), **rewarded).run(train_context(run, "tiny"))


def test_a_base_that_is_not_here_is_named_with_its_command(tmp_path) -> None:
    trainer = diffusion("nobody/no-such-model")
    with pytest.raises(Exception, match="hf download nobody/no-such-model"):
        trainer.run(train_context(training_run(tmp_path / "run"), "tiny"))


def test_a_folder_without_data_is_refused(tmp_path) -> None:
    trainer = diffusion(saved_base("sd", tmp_path / "base"), data=str(tmp_path / "nothing"))
    with pytest.raises(StoreError, match="import"):
        trainer.run(train_context(tmp_path, "tiny"))


@pytest.mark.parametrize(
    "content",
    [
        {"conditions": ["mask"]},
        {"steps": 0},
        {"drop": {"text": 0.6, "both": 0.6}},
        {"soft_masks": [0.8, 0.2]},
        {"weighting": "max"},
        {"lora": {"rank": 0}},
        {"optimiser": {"kind": "sgd"}},
        {"trackers": ["paper"]},
        {"cache": True, "zoom": 1.5},
        {"reward": {"variant": "released"}, "drop": {"reward": 0.1}, "conditions": ALL},
    ],
    ids=str,
)
def test_bad_settings_are_refused(content) -> None:
    with pytest.raises(RecipeError, match=next(iter(content))):
        validate(DiffusionTrainingSettings, {"base": "b", **content}, where="train.tiny")


@pytest.mark.parametrize(("family", "usual"), [("sd", 0.05), ("flux-kontext", 0.0)])
def test_dropout_that_is_left_out_is_the_familys(tmp_path, family, usual) -> None:
    base = saved_base(family, tmp_path / "base")
    dropped = diffusion(base).parameters["drop"]
    assert dropped == {"text": usual, "source": usual, "both": usual, "reward": 0.0}
    assert diffusion(base, drop={"text": 0.2}).parameters["drop"] == {**dropped, "text": 0.2}
    settings = DiffusionTrainingSettings(base=base, drop={"source": 0.3})
    model = SimpleNamespace(family=FAMILIES[family], levels=SimpleNamespace(prediction="epsilon"))
    rates = settings.objective(model).drop
    assert (rates.text, rates.source, rates.both) == (usual, 0.3, usual)


def test_kontext_is_trained_and_previewed_as_it_edits(tmp_path, monkeypatch) -> None:
    previews, real = [], denoised

    def noted(model, inputs, *others, **settings):
        previews.append((settings["steps"], [each.weight for each in settings["chosen"]]))
        return real(model, inputs, *others, **{**settings, "steps": 1})

    monkeypatch.setattr("editloop.training.previews.denoised", noted)
    here = train_context(training_run(tmp_path / "run"), "tiny")
    base = saved_base("flux-kontext", tmp_path / "base")
    diffusion(base, lora={"rank": 2}, samples=1).run(here)
    assert previews == [(28, [1.0])]
    card = (here.output / "README.md").read_text()
    assert "28 steps by default, with text guidance 1, image guidance 1, guidance 2.5" in card
    assert "| drop | {'text': 0.0, 'source': 0.0, 'both': 0.0, 'reward': 0.0} |" in card


def test_previews_ask_for_the_best_rewards_whatever_the_held_out_edits_have(
    tmp_path, monkeypatch
) -> None:
    asked, real = [], denoised

    def noted(model, inputs, *others, **settings):
        asked.append((inputs.scores.tolist(), inputs.keep.tolist()))
        return real(model, inputs, *others, **{**settings, "steps": 1})

    monkeypatch.setattr("editloop.training.previews.denoised", noted)
    run = training_run(tmp_path / "run")
    publish(run, "heldout", [replace(each, scores={}) for each in edit_samples(2, "heldout")])
    record_manifest(run, "data", sorted((run / "data").iterdir()))
    rewarded = {"conditions": ("source", "reward"), "samples": 2}
    diffusion(saved_base("sd", tmp_path / "base"), **rewarded).run(train_context(run, "tiny"))
    assert asked == [([[5.0, 5.0, 5.0]], [[1.0, 1.0, 1.0]])] * 2


@pytest.mark.parametrize(
    ("drop", "unscored", "told"), [(0.0, 0, False), (0.1, 0, True), (0.0, 1, True)]
)
def test_it_is_recorded_whether_a_model_has_seen_samples_without_rewards(
    tmp_path, drop, unscored, told
) -> None:
    run = training_run(tmp_path / "run")
    first, *rest = edit_samples(6)
    publish(run, "train", [*([replace(first, scores={})] if unscored else [first]), *rest])
    record_manifest(run, "data", sorted((run / "data").iterdir()))
    here = train_context(run, "tiny")
    rewarded = {"conditions": ("source", "reward"), "drop": {"reward": drop}}
    diffusion(saved_base("sd", tmp_path / "base"), **rewarded).run(here)
    assert read_checkpoint(str(here.output), "unused").edits_unrewarded == told
    assert ("`none` edits without rewards" in (here.output / "README.md").read_text()) == told


def test_what_only_the_machine_needs_does_not_decide() -> None:
    usual = diffusion("base").parameters
    assert diffusion("base", compile=True, keep=5, trackers=("tensorboard",)).parameters == usual
    assert diffusion("base", learning_rate=1.0).parameters != usual
