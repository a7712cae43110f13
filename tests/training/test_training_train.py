"""The recipe of a training."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from diffusion_runs import SIZE, saved_base, training_run
from editloop.cli import app
from editloop.errors import EditLoopError, RecipeError, StoreError, TrainingError, UnavailableError
from editloop.loop.recipe import Recipe
from editloop.storage.manifests import record_manifest
from editloop.training.train import check, train, training_recipe
from networks import edit_samples, publish
from tiny_baselines import save_stable_diffusion
from tiny_pipelines import tiny_unet


def recipe():
    part = {
        "kind": "diffusion",
        "base": "any",
        "drop": {"text": 0.1, "reward": 0.2},
        "optimiser": {"weight_decay": 0.5},
    }
    return Recipe.model_validate({"name": "r", "train": [part, {"kind": "reward"}]})


def test_settings_replace_a_recipes_own_key_by_key() -> None:
    made, other = training_recipe(recipe(), steps=3, drop={"reward": 0.0}, lora=None).train
    assert made.own["drop"] == {"text": 0.1, "reward": 0.0}
    assert made.own["optimiser"] == {"weight_decay": 0.5}
    assert (made.own["steps"], made.own["lora"]) == (3, None)
    assert other == recipe().train[1]


def test_a_recipe_that_trains_nothing_is_refused() -> None:
    with pytest.raises(RecipeError, match="has no train part"):
        training_recipe(Recipe.model_validate({"name": "r"}))


def test_an_absent_base_or_data_set_leaves_no_trace_in_the_run(tmp_path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UnavailableError, match="hf download"):
        train(out=out, base="nobody/nothing", data=str(training_run(tmp_path / "run")))
    with pytest.raises(StoreError, match="no complete data set"):
        train(out=out, base=str(tmp_path), data=str(tmp_path))
    assert not out.exists()


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A base and a data set."""
    folder = tmp_path_factory.mktemp("here")
    saved_base("sd", folder / "base")
    training_run(folder / "run")
    return folder


def recipe_of(folder, **changes):
    usual = {"data": str(folder / "run"), "base": str(folder / "base"), "size": SIZE}
    return training_recipe(**{**usual, **changes})


def data_of(run, samples):
    publish(run, "train", samples)
    record_manifest(run, "data", sorted((run / "data").iterdir()))
    return str(run)


def test_a_check_of_what_can_be_trained_says_nothing_and_makes_nothing(here, tmp_path) -> None:
    check(recipe_of(here), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"base": "nobody/nothing"}, "hf download"),
        ({"data": "nowhere"}, "no complete data set"),
        ({"split": "other"}, "(?s)no complete split 'other'.*exists .heldout, train., or build"),
        ({"size": 33}, "multiple of 2"),
        ({"flow_loss": "x0"}, "`flow_loss` has no effect on this base"),
        ({"guidance": 3.5}, "`guidance` has no effect on this base"),
        ({"data": ["nowhere"]}, "no complete data set"),
    ],
    ids=str,
)
def test_a_check_refuses_what_is_absent_or_does_not_fit(here, tmp_path, changes, cause) -> None:
    with pytest.raises(EditLoopError, match=cause):
        check(recipe_of(here, **changes), tmp_path / "out")


@pytest.mark.parametrize("inside", ["data", "data/train-00000-of-00001.parquet"])
def test_what_is_inside_a_run_names_the_run_that_it_lies_in(here, tmp_path, inside) -> None:
    with pytest.raises(StoreError, match=f"contains it: {here / 'run'}$"):
        check(recipe_of(here, data=str(here / "run" / inside)), tmp_path / "out")


def test_a_check_refuses_a_base_of_other_channels_without_loading_it(here, tmp_path) -> None:
    base = save_stable_diffusion(tmp_path / "inpainting", tiny_unet(9))
    for path in base.rglob("*.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(RecipeError, match="9 input channels"):
        check(recipe_of(here, base=str(base)), tmp_path / "out")


def test_a_check_refuses_a_base_without_weights(here, tmp_path) -> None:
    base = save_stable_diffusion(tmp_path / "bare", tiny_unet())
    for path in (base / "unet").glob("*.safetensors"):
        path.unlink()
    with pytest.raises(UnavailableError, match="no weights"):
        check(recipe_of(here, base=str(base)), tmp_path / "out")


def test_a_check_refuses_data_without_targets(here, tmp_path) -> None:
    data = data_of(tmp_path / "run", [replace(each, target=None) for each in edit_samples(2)])
    with pytest.raises(TrainingError, match="without a target"):
        check(recipe_of(here, data=data), tmp_path / "out")


def test_targets_that_lack_further_on_are_counted_and_named(here, tmp_path) -> None:
    samples = edit_samples(9)
    for at in (4, 5, 7, 8):
        samples[at] = replace(samples[at], target=None)
    data = data_of(tmp_path / "run", samples)
    with pytest.raises(
        TrainingError, match="4 of 9 in train: train/4, train/5, train/7 and 1 more"
    ):
        check(recipe_of(here, data=data), tmp_path / "out")


def test_a_check_refuses_data_without_scores_for_rewards(here, tmp_path) -> None:
    data = data_of(tmp_path / "run", [replace(each, scores={}) for each in edit_samples(2)])
    with pytest.raises(TrainingError, match="no reward scores"):
        check(recipe_of(here, data=data, conditions=["source", "reward"]), tmp_path / "out")


def test_a_check_names_columns_that_are_absent(here, tmp_path) -> None:
    publish(tmp_path / "run", "train", edit_samples(2))
    (path,) = (tmp_path / "run/data").iterdir()
    pq.write_table(pq.read_table(path).drop_columns(["target"]), path)
    record_manifest(tmp_path / "run", "data", [path])
    with pytest.raises(StoreError, match=r"lacks columns.*: .*target"):
        check(recipe_of(here, data=str(tmp_path / "run")), tmp_path / "out")


def test_a_runs_folder_as_a_base_names_the_model_in_it(here, tmp_path) -> None:
    (tmp_path / "models/first").mkdir(parents=True)
    (tmp_path / "models/first/editloop.json").write_text("{}")
    with pytest.raises(RecipeError, match=r"(?s)not a model.*use .*models/first"):
        check(recipe_of(here, base=str(tmp_path)), tmp_path / "out")


def test_a_name_that_no_part_can_have_is_refused(here) -> None:
    with pytest.raises(RecipeError, match="name"):
        recipe_of(here, name="a b")


def test_a_base_that_is_to_be_got_is_not_looked_at(here, tmp_path) -> None:
    absent = recipe_of(here, base="nobody/nothing")
    check(absent, tmp_path / "out", download=True)
    with pytest.raises(StoreError, match="no complete data set"):
        check(recipe_of(tmp_path, base="nobody/nothing"), tmp_path / "out", download=True)


def test_a_dry_run_refuses_and_leaves_no_trace(here, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"name: mine\ntrain: [{{kind: diffusion, base: nobody/nothing, data: {here / 'run'}}}]"
    )
    flags = ["--data", str(here / "run"), "--base", "nobody/nothing"]
    for command in (["train", str(path)], ["train", *flags], ["run", str(path)]):
        ended = CliRunner().invoke(app, [*command, "--dry-run"])
        assert isinstance(ended.exception, UnavailableError)
    flags = [*flags[:3], str(here / "base"), "--conditions", "source, mask", "--set", "size=32"]
    ended = CliRunner().invoke(app, ["train", *flags, "--dry-run"])
    assert ended.exit_code == 0
    assert "to do" in ended.output
    assert list(tmp_path.iterdir()) == [path]
