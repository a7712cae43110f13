"""Pictures of one edit whose shapes differ: one rule at every door, and the way beyond it."""

from pathlib import Path

import pytest

from editloop.commands.terminal import print_results
from editloop.errors import RecipeError
from editloop.evaluation.evaluate import evaluate
from editloop.images.codec import decode
from editloop.judges.judge_data import judge
from editloop.quality.dataset import measure_data
from editloop.schema import Json
from editloop.sources.import_data import import_data
from editloop.storage.parquet import read_rows
from editloop.storage.samples import read_samples
from evaluation_cards import own_card
from layout_folders import parquet, png

SOURCE, NEAR, FAR = (72, 96), (72, 98), (72, 120)  # (height, width): 2% and 25% wider
L1 = "l1=pixels:l1?against=source"


def hq_edit(folder: Path, *targets: tuple[int, int]) -> Path:
    rows = [
        {
            "input": "a cat",
            "input_image": png(size=SOURCE),
            "edit": "darken it",
            "output": "a dark cat",
            "output_image": png(shade=at + 1, size=size),
        }
        for at, size in enumerate(targets)
    ]
    parquet(folder / "a.parquet", rows)
    return folder


def evaluated(data: Path, folder: Path) -> dict[str, Json]:
    metrics = {"l1": {"kind": "pixels", "target": "l1"}}
    card = own_card(folder, data={"layout": "hq-edit"}, metrics=metrics)
    return evaluate(card, data, ["copy"], folder / "evaluated", workers=1)


def cases(results: dict[str, Json]) -> int:
    count: int = results["evaluation"]["magicbrush/all-turns"]["copy"]["l1"]["count"]
    return count


@pytest.mark.slow
def test_a_little_is_taken_everywhere_and_recorded_or_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = hq_edit(tmp_path / "data", SOURCE, NEAR)
    imported = import_data("hq-edit", data, tmp_path / "imported", workers=1, inverse=False)
    judged = judge(data, "metric", tmp_path / "judged", workers=1)
    assert imported["build"]["out"] == judged["build"]["out"] == 2
    for name in ("imported", "judged"):
        same, near = read_samples(tmp_path / name / "data", "train")
        assert same.target is not None
        assert near.target is not None
        assert decode(near.target.bytes).shape[:2] == SOURCE
        assert same.target.bytes == png(shade=1, size=SOURCE)
        assert near.provenance is not None
        assert near.provenance.parameters["resized"] == {"target": list(NEAR)}
    measured = measure_data(data, metrics=[L1], out=tmp_path / "quality", workers=1)
    assert (measured["samples"], measured["skipped"]) == (2, None)
    results = evaluated(data, tmp_path)
    assert cases(results) == 2
    facts = results["benchmarks"]["magicbrush/all-turns"]
    for found in (measured, facts):
        assert found["near_shapes"]["count"] == 1
        assert "the target is 98 x 72, its source 96 x 72" in found["near_shapes"]["first"][0]
    print_results(results)
    told = " ".join(capsys.readouterr().out.split())
    assert "1 picture whose shape differs a little from its source's" in told


@pytest.mark.slow
def test_more_is_refused_everywhere_with_the_way_that_helps(tmp_path: Path) -> None:
    data = hq_edit(tmp_path / "data", SOURCE, FAR)
    judged = judge(data, "metric", tmp_path / "judged", workers=1)
    assert judged["build"]["out"] == 1
    rows = read_rows(tmp_path / "judged/rejects/quarantined.parquet", ["message"], what="faults")
    assert "aspect ratios by 25.0%; fix: import with --fit" in next(iter(rows))["message"]
    measured = measure_data(data, metrics=[L1], out=tmp_path / "quality", workers=1)
    assert (measured["samples"], measured["skipped"]["count"]) == (1, 1)
    assert "differ by 25.0%" in measured["skipped"]["first"][0]
    with pytest.raises(RecipeError, match="--fit resize, crop or pad, and give the run's folder"):
        evaluated(data, tmp_path)
    run = tmp_path / "imported"
    import_data("hq-edit", data, run, workers=1, inverse=False, fit="pad")
    assert cases(evaluated(run, tmp_path)) == 2
    assert judge(run, "metric", tmp_path / "again", workers=1)["build"]["out"] == 2
