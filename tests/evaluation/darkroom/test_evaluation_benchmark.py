"""The darkroom benchmark: its results, its files, resuming and errors."""

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from editloop.errors import RecipeError, StoreError
from editloop.evaluation.darkroom.benchmark import DarkroomBenchmark
from editloop.images.codec import decode
from editloop.loop.parts import PartContext, PartResult
from editloop.registry import BUILT_IN, create
from editloop.schema import EditSample, Json
from editloop.storage.samples import arrow_schema, to_row
from evaluation_fakes import PHOTOS, Fake, sessions, single_edits

EDITORS = [f"{name}=python:evaluation_fakes:{kind}" for name, kind in (
    ("still", "Still"), ("light", "Light"), ("half", "Light?share=0.5"), ("choosy", "Choosy"),
    ("absent", "Absent"),
)]  # fmt: skip
CLAIM = {"order": ["light", "still"], "metrics": ["following_accuracy", "l1"]}
SETTINGS = {"editors": EDITORS, "chunk": 5, "batch": 3, "resamples": 200, "claims": [CLAIM]}


def publish(run: Path, samples: Iterable[EditSample]) -> None:
    (run / "data").mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([to_row(each) for each in samples], schema=arrow_schema())
    pq.write_table(table, run / "data" / "heldout-00000-of-00001.parquet")


def evaluate(run: Path, output: str = "out", **settings: Json) -> PartResult:
    Fake.asked.clear()
    part = create("evaluate", "darkroom", {**SETTINGS, **settings})
    assert isinstance(part, DarkroomBenchmark)
    folders = {"run": run, "work": run / "work", "cache": run / "cache", "output": run / output}
    return part.run(PartContext(name="darkroom", seed=3, inputs="x", **folders))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PartResult]:
    run = tmp_path_factory.mktemp("run")
    publish(run, chain(single_edits(12), sessions(3)))
    return run, evaluate(run, mask=True)


def numbers(entries: Json) -> Iterator[Json]:
    """Every estimate in a nested mapping."""
    if isinstance(entries, dict) and "mean" in entries:
        yield entries
    elif isinstance(entries, dict):
        for entry in entries.values():
            yield from numbers(entry)


def test_results_have_the_fixed_keys(made: tuple[Path, PartResult]) -> None:
    results = made[1].results
    benchmarks = {
        f"darkroom/{kind}{mask}" for kind in ("single-turn", "sessions") for mask in ("", "/mask")
    }
    assert set(results["evaluation"]) == benchmarks
    for by_editor in results["evaluation"].values():
        assert set(by_editor) == {"still", "light", "half", "choosy", "absent"}
    entry = results["evaluation"]["darkroom/single-turn"]["light"]["l1_inside"]
    assert set(entry) == {"mean", "low", "high", "count", "coverage"}
    slices = results["slices"]["darkroom/sessions"]["half"]
    assert set(slices) == {"type", "turn", "photo"}
    assert set(slices["turn"]) == {"1", "2", "3"}
    assert set(slices["photo"]) == set(PHOTOS)
    assert set(slices["type"]) == {"local", "global", "style"}


def test_results_are_json_without_nan(made: tuple[Path, PartResult]) -> None:
    text = json.dumps(dict(made[1].results), allow_nan=False)
    assert json.loads(text) == made[1].results


def test_every_interval_holds_its_mean(made: tuple[Path, PartResult]) -> None:
    found = [*numbers(made[1].results["evaluation"]), *numbers(made[1].results["slices"])]
    scored = [entry for entry in found if entry["mean"] is not None]
    assert len(scored) > 1000
    for entry in scored:
        assert entry["low"] <= entry["mean"] <= entry["high"]
        assert 0 < entry["coverage"] <= 1
        assert entry["count"] >= 1


def test_every_mean_is_the_mean_of_a_column_of_the_published_table(
    made: tuple[Path, PartResult],
) -> None:
    run, result = made
    rows = pq.read_table(run / "out" / "cases.parquet").to_pylist()
    checked = 0
    for benchmark, by_editor in result.results["evaluation"].items():
        for editor, by_metric in by_editor.items():
            own = [r for r in rows if (r["benchmark"], r["editor"]) == (benchmark, editor)]
            for metric, entry in by_metric.items():
                values = [row[metric] for row in own if row[metric] is not None]
                if entry["mean"] is None:
                    assert values == []
                else:
                    assert entry["mean"] == pytest.approx(np.mean(values), abs=1e-7)
                    assert (entry["count"], entry["coverage"]) == (
                        len(values),
                        pytest.approx(len(values) / len(own), abs=1e-7),
                    )
                    checked += 1
    assert checked > 300


def test_the_published_table_opens_in_datasets(
    made: tuple[Path, PartResult], tmp_path: Path
) -> None:
    import datasets

    path = str(made[0] / "out" / "cases.parquet")
    table = datasets.Dataset.from_parquet(path, cache_dir=str(tmp_path))
    assert len(table) == 4 * 2 * (12 + 9)
    assert table[0]["editor"] == "still"


def test_every_answer_has_its_picture_and_every_other_its_reason(
    made: tuple[Path, PartResult],
) -> None:
    output = made[0] / "out"
    rows = pq.read_table(output / "cases.parquet").to_pylist()
    for row in rows:
        assert (row["picture"] is None) == (row["unedited"] is not None)
    pictures = {row["picture"] for row in rows if row["picture"]}
    assert len(pictures) == sum(row["picture"] is not None for row in rows)
    assert pictures == {path.relative_to(output).as_posix() for path in output.rglob("*.png")}
    assert "single-turn/half/photos__heldout__0000__0_1.png" in pictures
    assert decode((output / sorted(pictures)[0]).read_bytes()).shape == (32, 32, 3)


def test_an_editor_that_leaves_cases_out_has_less_coverage_and_no_zero(
    made: tuple[Path, PartResult],
) -> None:
    entry = made[1].results["evaluation"]["darkroom/single-turn/mask"]["choosy"]["l1"]
    assert (entry["coverage"], entry["mean"]) == (pytest.approx(8 / 12), 0.0)
    slices = made[1].results["slices"]["darkroom/single-turn/mask"]["choosy"]["type"]
    assert slices["local"]["l1"] == {
        "mean": None,
        "reason": "unedited: it does not edit locally",
        "command": None,
    }


def test_an_unavailable_editor_says_why_and_how_to_get_it(made: tuple[Path, PartResult]) -> None:
    entry = made[1].results["evaluation"]["darkroom/sessions"]["absent"]["following_score"]
    assert entry == {"mean": None, "reason": "1.0 weights are absent", "command": "get the-weights"}


def test_without_any_available_editor_the_benchmark_still_says_so(tmp_path: Path) -> None:
    publish(tmp_path, single_edits(2))
    results = evaluate(tmp_path, editors=EDITORS[-1:]).results
    assert results["evaluation"]["darkroom/single-turn"]["absent"]["l1"]["mean"] is None


def test_the_truth_with_its_mask_is_perfect_and_doing_nothing_is_not(
    made: tuple[Path, PartResult],
) -> None:
    found = made[1].results["evaluation"]["darkroom/single-turn/mask"]
    assert found["light"]["l1"]["mean"] == 0
    assert found["light"]["following_accuracy"]["mean"] == 1
    assert found["still"]["following_accuracy"]["mean"] == 0


def test_findings_answer_the_claims_in_sentences(made: tuple[Path, PartResult]) -> None:
    findings = made[1].results["findings"]["darkroom/single-turn/mask"]
    assert [(each["metric"], each["outcome"]) for each in findings] == [
        ("following_accuracy", "shown"),
        ("l1", "shown"),
    ]
    assert findings[0]["sentence"].startswith("light is better than still in following accuracy,")


def test_a_second_run_asks_nothing_and_gives_the_same_bytes(made: tuple[Path, PartResult]) -> None:
    run, first = made
    again = evaluate(run, "again", mask=True)
    assert Fake.asked == []
    assert again.timings == {"editors": {}}
    assert again.results == first.results
    for path in sorted((run / "out").rglob("*.*")):
        assert path.read_bytes() == (run / "again" / path.relative_to(run / "out")).read_bytes()


def test_a_run_that_was_stopped_asks_only_for_what_is_missing(tmp_path: Path) -> None:
    publish(tmp_path, single_edits(12))
    tired = ["tired=python:evaluation_fakes:Tired"]
    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path, editors=tired)
    asked = {request.id for request in Fake.asked}
    assert len(asked) == 6  # a whole chunk of five, committed, and one of the next
    evaluate(tmp_path, "later", editors=tired)
    assert len(Fake.asked) == 7
    assert len(asked | {request.id for request in Fake.asked}) == 12


def test_changed_data_are_asked_again_where_they_changed(tmp_path: Path) -> None:
    first, last = list(single_edits(12)), list(single_edits(14))[12:]
    publish(tmp_path, first)
    evaluate(tmp_path, editors=EDITORS[:1])
    publish(tmp_path, [*first[:10], *last])
    evaluate(tmp_path, "later", editors=EDITORS[:1])
    assert [request.id for request in Fake.asked] == [sample.id for sample in last]


def test_two_editors_of_one_name_are_refused() -> None:
    with pytest.raises(RecipeError, match="two editors are named 'still'"):
        create("evaluate", "darkroom", {"editors": [EDITORS[0], EDITORS[0]]})


def test_data_without_held_out_edits_are_refused(tmp_path: Path) -> None:
    publish(tmp_path, [])
    with pytest.raises(StoreError, match="no held-out edit"):
        evaluate(tmp_path)


def test_a_relative_model_folder_means_the_run_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BUILT_IN["editor"], "diffusion", "evaluation_fakes:Model")
    publish(tmp_path, single_edits(1))
    (tmp_path / "models" / "plain").mkdir(parents=True)
    elsewhere = evaluate(tmp_path, editors=["plain=diffusion:models/other"]).results
    assert editor_of(elsewhere) == "models/other"
    in_run = evaluate(tmp_path, "again", editors=["plain=diffusion:models/plain"]).results
    assert editor_of(in_run) == str(tmp_path / "models" / "plain")


def editor_of(results: Json) -> str:
    return results["benchmarks"]["darkroom/single-turn"]["editors"][0]["fingerprint"]


def test_what_is_measured_is_part_of_the_benchmarks_parameters() -> None:
    plain = create("evaluate", "darkroom", SETTINGS).parameters
    more = create(
        "evaluate", "darkroom", {**SETTINGS, "metrics": ["their_l1=pixels:l1"]}
    ).parameters
    assert plain["measures"]["judge"][0] == "truth"
    assert plain["measures"] != more["measures"]
    assert json.dumps(plain)
