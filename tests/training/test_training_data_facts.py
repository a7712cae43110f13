"""What is cut or not read of the training data is counted, and told with where."""

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from diffusion_runs import SIZE, diffusion, saved_base, train_context, training_run
from editloop.cli import app
from editloop.errors import TrainingError
from editloop.schema import Score
from editloop.storage.manifests import record_manifest
from editloop.training.cache import off_scale, reward_text_of, rewards_of
from editloop.training.data_checks import check_data
from editloop.training.data_facts import Reading, notices, text_facts
from editloop.training.mirroring import Mirroring
from latent_data import published_rows
from networks import edit_samples, publish
from tiny_models import model_of

LONG = "make it brighter " * 30 + "and put a hat on the cat"


def facts_of(folder, samples, family="sd", **reading):
    model = model_of(folder, family, trained=False)
    return text_facts(published_rows(folder / "run", samples), Reading(model.texts, **reading))


def test_references_are_counted_as_unseen(tmp_path) -> None:
    samples = edit_samples(3)
    samples[1] = replace(samples[1], references=(samples[0].source, samples[2].source))
    facts = facts_of(tmp_path, samples)
    assert facts["references"] == 1
    assert "1 samples have references, which this training does not show the model" in notices(
        facts
    )
    assert "references" not in facts_of(tmp_path / "none", edit_samples(3))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["sd", "sdxl", "sd3", "flux-kontext"])
def test_instructions_longer_than_the_encoder_are_counted_with_where(tmp_path, family) -> None:
    samples = edit_samples(3)
    samples[1] = replace(samples[1], instruction=LONG * 12)
    facts = facts_of(tmp_path, samples, family)
    assert facts["cut_instructions"] == 1
    (example,) = facts["cut_instructions_at"]
    assert example.startswith("train/1: ...")
    before, _, after = (
        example.removeprefix("train/1: ...").removesuffix("...").partition(" [cut here] ")
    )
    assert before + after in LONG * 12
    model = model_of(tmp_path, family, trained=False)
    kept = model.texts.kept(LONG * 12)
    assert 0 < kept < len(LONG * 12)
    assert model.texts.kept((LONG * 12)[: kept + 40]) == kept  # what follows does not matter
    assert model.texts.kept("make it red") == len("make it red")


def test_reward_texts_count_where_rewards_are_read(tmp_path) -> None:
    samples = edit_samples(2)
    samples[0] = replace(samples[0], scores={"quality": Score(1.0, text=LONG)})
    assert facts_of(tmp_path, samples, separator="; ")["cut_reward_texts"] == 1
    assert "cut_reward_texts" not in facts_of(tmp_path, samples)


def test_edits_that_are_never_mirrored_are_counted(tmp_path) -> None:
    samples = [replace(each, instruction="move it left") for each in edit_samples(2)]
    assert facts_of(tmp_path, samples, mirroring=Mirroring())["never_mirrored"] == 2
    assert "never_mirrored" not in facts_of(tmp_path, samples)


@pytest.mark.slow
@pytest.mark.parametrize("value", [-3.2, -0.01, 5.01, 7.0, 100.0])
def test_scores_that_are_not_on_the_scale_are_missing_and_counted(tmp_path, value) -> None:
    scores = {"following": Score(value, text="odd"), "quality": Score(5.0, text="None")}
    sample = replace(edit_samples(1)[0], scores=scores)
    assert rewards_of(sample) == ([0.0, 0.0, 5.0], [0.0, 0.0, 1.0])
    assert reward_text_of(sample) == ";;None"
    assert off_scale(sample) == ["following"]
    facts = facts_of(tmp_path, [sample], separator=";")
    assert facts["scores_off_scale"] == 1
    assert "1 scores outside 0 to 5 count as missing" in notices(facts)[-1]


def test_a_low_score_without_words_does_not_say_that_nothing_is_wrong() -> None:
    scores = {"following": Score(0.0), "preserving": Score(5.0), "quality": Score(2.0, text="grey")}
    sample = replace(edit_samples(1)[0], scores=scores)
    assert reward_text_of(sample) == ";None;grey"


def test_rewards_that_are_all_off_their_scale_are_refused_with_the_fix(tmp_path) -> None:
    scores = {"following": Score(-2.0), "preserving": Score(-1.0)}
    publish(tmp_path, "train", [replace(each, scores=scores) for each in edit_samples(2)])
    with pytest.raises(TrainingError, match=r"(?s)all reward scores .*--scale LOW,HIGH"):
        check_data([tmp_path], "train", rewarded=True)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A base, and data of which one instruction is too long and names a side."""
    folder = tmp_path_factory.mktemp("here")
    saved_base("sd", folder / "base")
    training_run(folder / "run")
    samples = edit_samples(6)
    samples[2] = replace(samples[2], instruction=f"{LONG} on the left")
    publish(folder / "run", "train", samples)
    record_manifest(folder / "run", "data", sorted((folder / "run" / "data").iterdir()))
    return folder


def test_a_dry_run_tells_what_is_cut(here, tmp_path) -> None:
    given = ["--data", str(here / "run"), "--base", str(here / "base"), "--set", f"size={SIZE}"]
    found = CliRunner().invoke(app, ["train", *given, "--out", str(tmp_path / "out"), "--dry-run"])
    assert found.exit_code == 0, found.output
    assert "1 instructions are longer than the text encoder reads: train/2: ..." in found.output
    assert "1 edits are never mirrored" in found.output


@pytest.mark.slow
def test_results_and_card_hold_the_counts(here, capsys) -> None:
    context = train_context(here / "run", "tiny")
    results = diffusion(str(here / "base")).run(context).results
    assert (results["cut_instructions"], results["never_mirrored"]) == (1, 1)
    assert (results["lost_edits"], results["lost_edits_of"]) == (0, 6)
    assert "[cut here]" in capsys.readouterr().err
    card = (context.output / "README.md").read_text()
    assert "| cut_instructions | 1 |" in card
    assert "[cut here]" in card
