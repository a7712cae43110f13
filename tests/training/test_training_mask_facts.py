"""Masks of training data: counted, told, refused or dropped where they allow editing nowhere."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from editloop.cli import app
from editloop.errors import ImageError, TrainingError
from editloop.images.codec import encode_png
from editloop.images.masks import NOWHERE, MaskReading
from editloop.loop.parts import PartContext
from editloop.schema import EditSample, Image
from editloop.storage.manifests import record_manifest
from editloop.training.edits import EditTask
from editloop.training.kept_samples import without
from editloop.training.mask_facts import mask_facts
from editloop.training.pocket import PocketTraining, PocketTrainingSettings
from editloop.training.rows import PublishedRows
from editloop.training.train import check, training_recipe
from editloop.training.triples import decoded
from networks import SIZE, edit_samples, publish
from tiny_baselines import save_stable_diffusion
from tiny_pipelines import tiny_unet

REGION = np.zeros((SIZE, SIZE), np.uint8)
REGION[4:20, 4:20] = 1


def masked(*masks: np.ndarray | None) -> list[EditSample]:
    """Samples with these masks."""
    return [
        replace(sample, mask=None if mask is None else Image(encode_png(mask)))
        for sample, mask in zip(edit_samples(len(masks)), masks, strict=True)
    ]


def run_of(run: Path, samples: Sequence[EditSample]) -> Path:
    publish(run, "train", samples)
    record_manifest(run, "data", sorted((run / "data").iterdir()))
    return run


def context(run: Path) -> PartContext:
    folders = {each: run / "made" / each for each in ("work", "cache", "output")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    return PartContext(name="tiny", seed=0, run=run, inputs="data-1", **folders)


def pocket(**changes: object) -> PocketTraining:
    usual = {"size": SIZE, "channels": (8, 16), "steps": 3, "batch": 2, "precision": "fp32"}
    usual["conditions"] = ("source", "mask")
    return PocketTraining(PocketTrainingSettings(**{**usual, **changes}))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_stable_diffusion(tmp_path_factory.mktemp("base") / "sd", tiny_unet()))


def checked(run: Path, base: str, **changes: object) -> None:
    usual = {"conditions": ["source", "mask"], "size": SIZE, "data": str(run), "base": base}
    check(training_recipe(**{**usual, **changes}), run / "out")


def test_masks_are_counted_and_black_ones_named(tmp_path: Path) -> None:
    run = run_of(tmp_path, masked(REGION, None, REGION * 0, REGION * 255))
    facts = mask_facts(PublishedRows.of(run / "data", "train"), MaskReading())
    assert (facts.samples, facts.masked, facts.numbers) == (4, 3, (2,))
    assert facts.to_json() == {"masked": 3, "masked_of": 4, "dropped": {NOWHERE: 1}}


def test_training_refuses_black_masks_counts_them_and_names_the_flag(
    tmp_path: Path, base: str
) -> None:
    run = run_of(tmp_path, masked(REGION, REGION * 0, REGION * 0))
    words = r"all black.*2 of 3 in train: train/1, train/2(?s:.*)--drop-black-masks"
    with pytest.raises(TrainingError, match=words):
        checked(run, base)
    with pytest.raises(TrainingError, match=words):
        pocket().check(run)
    checked(run, base, black_masks="drop")
    checked(run, base, conditions=["source"])


def test_a_condition_on_masks_needs_some(tmp_path: Path, base: str) -> None:
    run = run_of(tmp_path, masked(None, None))
    with pytest.raises(TrainingError, match="no sample of the training data has a mask"):
        checked(run, base)
    with pytest.raises(TrainingError, match="no sample of the training data has a mask"):
        pocket().check(run)


def test_ambiguous_masks_are_refused_with_the_id_and_a_rule_reads_them(
    tmp_path: Path, base: str
) -> None:
    run = run_of(tmp_path, masked(REGION, REGION + 1))
    with pytest.raises(ImageError, match=r"unclear.*train/1(?s:.*)--mask-rule") as caught:
        checked(run, base)
    assert caught.value.code == "ambiguous-mask"
    checked(run, base, mask_rule="nonzero")
    sample = masked(REGION + 1)[0]
    triple = decoded(sample, MaskReading("index:2", invert=True))
    assert np.array_equal(triple.mask, 255 - REGION * 255)


def test_dropped_samples_are_never_trained_on_and_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path, masked(REGION, REGION * 0, None, REGION * 0, REGION))
    seen: set[int] = set()
    usual = EditTask.batch

    def batch(self, samples, *rest):
        seen.update(samples.tolist())
        return usual(self, samples, *rest)

    monkeypatch.setattr(EditTask, "batch", batch)
    training = pocket(black_masks="drop")
    assert "2 samples are dropped: the mask is all black" in "\n".join(training.notices(run))
    results = training.run(context(run)).results
    assert seen == {0, 2, 4}
    assert results["samples"] == 3
    assert results["dropped"] == {NOWHERE: 2}
    assert (results["masked"], results["masked_of"]) == (4, 5)
    assert NOWHERE in (run / "made/output/README.md").read_text()


def test_a_dry_run_tells_the_share_of_masks(tmp_path: Path, base: str) -> None:
    run = run_of(tmp_path, masked(REGION, None, None, REGION * 0))
    asked = ["train", "--data", str(run), "--base", base, "--conditions", "source,mask", "--out"]
    asked += [str(tmp_path / "out"), "--set", f"size={SIZE}", "--dry-run"]
    result = CliRunner().invoke(app, [*asked, "--drop-black-masks"], catch_exceptions=False)
    output = " ".join(result.output.split())
    assert "2 of 4 samples have a mask (50.0%)" in output
    assert "1 samples are dropped" in output


def test_samples_without_some_keep_their_numbers() -> None:
    class Five:
        buckets = (np.array([0, 2]), np.array([1, 3]), np.array([4]))

        def __len__(self) -> int:
            return 5

        def read(self, samples, _seeds):
            return torch.from_numpy(samples), None

    kept = without(Five(), (1, 4))
    assert len(kept) == 3
    assert [each.tolist() for each in kept.buckets] == [[0, 2], [3]]
    assert kept.read(np.array([3]), None)[0].tolist() == [3]
    assert len(without(Five(), ())) == 5
