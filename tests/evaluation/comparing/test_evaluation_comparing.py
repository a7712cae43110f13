"""Comparison of runs: tables, paired differences, and refusal of runs that differ."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from editloop.cli import app
from editloop.errors import CorruptError, RecipeError, StoreError
from editloop.evaluation.comparing.compare import Comparison, compare_runs
from editloop.evaluation.comparing.page import write_comparison
from editloop.evaluation.comparing.pairing import Difference
from editloop.evaluation.comparing.table import print_comparison
from editloop.loop.parts import PartContext
from editloop.registry import create
from editloop.runtime.seeding import generator
from editloop.schema import EditSample, Json
from editloop.storage.manifests import record_manifest
from editloop.storage.samples import arrow_schema, to_row
from evaluation_fakes import sessions, single_edits
from evaluation_pages import Elements

STILL = "still=python:evaluation_fakes:Still"
HALF = "half=python:evaluation_fakes:Light?share=0.5"
WHOLE = "whole=python:evaluation_fakes:Light?share=1.0"
CHOOSY = "choosy=python:evaluation_fakes:Choosy"
ABSENT = "absent=python:evaluation_fakes:Absent"
SINGLE, SESSIONS = "darkroom/single-turn", "darkroom/sessions"

Alter = Callable[[Json], None]


def evaluate(run: Path, editors: Sequence[str], samples: Sequence[EditSample]) -> Path:
    (run / "data").mkdir(parents=True)
    table = pa.Table.from_pylist([to_row(each) for each in samples], schema=arrow_schema())
    pq.write_table(table, run / "data" / "heldout-00000-of-00001.parquet")
    part = create("evaluate", "darkroom", {"editors": list(editors), "claims": []})
    names = {"work": "work", "cache": "cache", "output": "evaluation/darkroom"}
    folders = {key: run / name for key, name in names.items()}
    found = part.run(PartContext(name="darkroom", seed=0, run=run, inputs="", **folders))
    (run / "results.json").write_text(json.dumps(found.results, sort_keys=True))
    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs `one` and `two` over the same cases, `other` over fewer, `singles` without sessions."""
    folder = tmp_path_factory.mktemp("runs")
    cases = [*single_edits(9), *sessions(4)]
    evaluate(folder / "one", [STILL, HALF], cases)
    evaluate(folder / "two", [STILL, CHOOSY, WHOLE, ABSENT], cases)
    evaluate(folder / "other", [HALF], [*single_edits(5), *sessions(4)])
    evaluate(folder / "singles", [WHOLE], list(single_edits(9)))
    return folder


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copy a run and change its results."""

    def copy(name: str, alter: Alter | None = None, to: str = "") -> Path:
        place = tmp_path / (to or name)
        shutil.copytree(made / name, place)
        results = json.loads((place / "results.json").read_text())
        if alter is not None:
            alter(results)
        (place / "results.json").write_text(json.dumps(results))
        return place

    return copy


@pytest.fixture(scope="module")
def both(made: Path) -> Comparison:
    return compare_runs([made / "one", made / "two"], resamples=200)


def altered_table(run: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    path = run / "evaluation" / "darkroom" / "cases.parquet"
    pq.write_table(change(pq.read_table(path)), path)


def difference(comparison: Comparison, name: str, first: str, second: str) -> Difference:
    """Return the difference in L1 between two editors in this benchmark."""
    benchmark = next(each for each in comparison.benchmarks if each.name == name)
    (found,) = [
        each
        for each in benchmark.differences
        if (each.first, each.second, each.metric) == (first, second, "l1")
    ]
    return found


def test_one_table_holds_every_editor_with_its_runs_own_numbers(
    both: Comparison, made: Path
) -> None:
    results = json.loads((made / "two" / "results.json").read_text())["evaluation"]
    for benchmark in both.benchmarks:
        assert list(benchmark.scores["choosy"]) == list(results[benchmark.name]["choosy"])
        assert benchmark.scores["choosy"] == results[benchmark.name]["choosy"]
    assert [each.name for each in both.benchmarks] == [SESSIONS, SINGLE]


def test_names_get_their_runs_only_where_they_collide(both: Comparison) -> None:
    assert [each.name for each in both.benchmarks[0].editors] == [
        "still (one)",
        "half",
        "still (two)",
        "choosy",
        "whole",
        "absent",
    ]


def test_runs_of_one_folder_name_are_told_apart_by_more_of_their_paths(
    copied: Callable[..., Path],
) -> None:
    paths = [copied("one", to="first/run"), copied("one", to="second/run")]
    assert list(compare_runs(paths, resamples=100).runs) == ["first/run", "second/run"]


@pytest.mark.parametrize("name", [SINGLE, SESSIONS])
def test_a_difference_is_what_a_direct_computation_gives(
    both: Comparison, made: Path, name: str
) -> None:
    rows = {}
    for run in ("one", "two"):
        for row in pq.read_table(made / run / "evaluation/darkroom/cases.parquet").to_pylist():
            if row["benchmark"] == name:
                rows[run, row["editor"], row["id"], row["turn"]] = row
    cases = [key[2:] for key in rows if key[:2] == ("one", "still")]
    everyone = list(dict.fromkeys(key[:2] for key in rows))
    common = [
        case for case in cases if all(rows[*who, *case]["unedited"] is None for who in everyone)
    ]
    drawn = [rows["one", "still", *case]["session"] or case[0] for case in cases]
    units = sorted(set(drawn))
    rng = generator(0, "bootstrap", name)
    draws = rng.multinomial(len(units), np.full(len(units), 1 / len(units)), size=200)
    weight = np.array([draws[:, units.index(drawn[cases.index(case)])] for case in common]).T
    half, whole = (
        np.array([rows[*who, *case]["l1"] for case in common])
        for who in (("one", "half"), ("two", "whole"))
    )
    weight = weight[weight.sum(axis=1) > 0]
    replicates = (weight * (half - whole)).sum(axis=1) / weight.sum(axis=1)

    found = difference(both, name, "half", "whole")
    assert found.means == pytest.approx((half.mean(), whole.mean()), abs=1e-6)
    assert found.difference == pytest.approx((half - whole).mean(), abs=1e-6)
    bounds = np.percentile(replicates, [2.5, 97.5])
    assert (found.low, found.high) == pytest.approx(tuple(bounds), abs=1e-6)


def test_only_cases_that_all_editors_answered_are_paired(both: Comparison) -> None:
    single = both.benchmarks[1]
    assert (single.cases, single.common) == (9, 6)  # the editor "choosy" skips every third
    assert difference(both, SINGLE, "half", "whole").counts == (6, 6)
    assert single.scores["half"]["l1"]["count"] == 9


def test_equal_editors_are_within_noise_and_better_ones_are_not(both: Comparison) -> None:
    same = difference(both, SINGLE, "still (one)", "still (two)")
    assert (same.difference, same.within_noise) == (0, True)
    better = difference(both, SINGLE, "still (one)", "whole")
    assert 0 < better.low < better.difference
    assert not better.within_noise


def test_an_editor_without_any_picture_is_shown_and_not_paired(both: Comparison) -> None:
    single = both.benchmarks[1]
    assert single.scores["absent"]["l1"]["command"] == "get the-weights"
    assert "absent" not in single.paired
    assert not [each for each in single.differences if "absent" in (each.first, each.second)]


def test_one_run_compares_its_own_editors(made: Path) -> None:
    found = compare_runs([made / "two"], resamples=100)
    assert [each.name for each in found.benchmarks[0].editors] == [
        "still",
        "choosy",
        "whole",
        "absent",
    ]


def test_the_order_of_a_table_does_not_matter(made: Path, copied: Callable[..., Path]) -> None:
    shuffled = copied("two")
    altered_table(shuffled, lambda table: table.take(list(range(table.num_rows))[::-1]))
    first, second = (
        compare_runs([made / "one", path], resamples=100) for path in (made / "two", shuffled)
    )
    assert first.benchmarks == second.benchmarks


def test_a_difference_on_one_session_alone_is_within_noise(tmp_path: Path) -> None:
    run = evaluate(tmp_path / "run", [STILL, WHOLE], list(sessions(1)))
    found = difference(compare_runs([run], resamples=100), SESSIONS, "still", "whole")
    assert found.low == found.difference == found.high > 0
    assert found.within_noise


def test_a_protocol_that_averages_over_groups_is_compared_so(copied: Callable[..., Path]) -> None:
    def grouped(results: Json) -> None:
        results["benchmarks"][SINGLE]["protocol"] = {"name": "gedit", "averaging": "groups"}

    run = copied("two", grouped)
    labels = {f"photos/heldout/{at:04d}/0": "ab"[at > 1] for at in range(9)}
    altered_table(run, lambda table: _regrouped(table, labels))
    table = pq.read_table(run / "evaluation/darkroom/cases.parquet").to_pylist()
    l1: dict[tuple[str, str], list[float]] = {}
    for row in table:
        if row["benchmark"] == SINGLE and int(row["id"][-6:-2]) % 3:  # which all answered
            l1.setdefault((row["editor"], row["group"]), []).append(row["l1"])
    expected = [np.mean([np.mean(l1[who, label]) for label in "ab"]) for who in ("still", "whole")]
    found = difference(compare_runs([run], resamples=100), SINGLE, "still", "whole")
    assert found.means == pytest.approx(tuple(expected), abs=1e-6)


def _regrouped(table: pa.Table, labels: dict[str, str]) -> pa.Table:
    groups = pa.array([labels.get(name) for name in table["id"].to_pylist()], pa.string())
    return table.set_column(table.schema.get_field_index("group"), "group", groups)


def test_other_data_is_refused_with_what_is_known_to_differ(made: Path) -> None:
    with pytest.raises(StoreError, match="cannot share a table") as caught:
        compare_runs([made / "one", made / "other"])
    assert f"{SINGLE}: one " in str(caught.value)
    assert "cases: 9 -> 5" in str(caught.value)


def test_what_fingerprints_were_made_from_is_told(copied: Callable[..., Path]) -> None:
    def described(fingerprint: str, precision: str, version: int) -> Alter:
        def alter(results: Json) -> None:
            results["benchmarks"][SINGLE] |= {
                "fingerprint": fingerprint,
                "protocol": {"name": "p", "version": version},
                "made_from": {"data": "same", "precision": precision},
            }

        return alter

    first = copied("one", described("aaaa", "fp32", 1))
    second = copied("two", described("bbbb", "bf16", 2))
    with pytest.raises(StoreError) as caught:
        compare_runs([first, second])
    assert "precision: fp32 -> bf16" in str(caught.value)
    assert "protocol.version: 1 -> 2" in str(caught.value)
    assert "data" not in str(caught.value).split("cannot share a table")[1].split("fix:")[0]


def test_a_difference_that_no_run_recorded_is_said_to_be_so(copied: Callable[..., Path]) -> None:
    def other(results: Json) -> None:
        results["benchmarks"][SINGLE]["fingerprint"] = "cccc"

    with pytest.raises(StoreError, match="what differs is not recorded"):
        compare_runs([copied("one"), copied("two", other)])


def test_one_name_for_two_metrics_is_refused_unless_it_is_left_out(
    copied: Callable[..., Path],
) -> None:
    def versions(rule: str) -> Alter:
        def alter(results: Json) -> None:
            found = {"l1": ["l1", rule], "l2": ["l2", "1"]}
            results["benchmarks"][SINGLE]["metrics"] = {"versions": found}

        return alter

    runs = [copied("one", versions("1")), copied("two", versions("2"))]
    with pytest.raises(StoreError, match=r"l1: \['l1', '1'\] -> \['l1', '2'\]"):
        compare_runs(runs)
    assert compare_runs(runs, metrics=["l2"], resamples=100).benchmarks[0].metrics == ("l2",)


def test_benchmarks_of_some_runs_only_are_listed_so(made: Path) -> None:
    found = compare_runs([made / "one", made / "singles"], resamples=100)
    assert {each.name: each.absent for each in found.benchmarks} == {
        SESSIONS: ("singles",),
        SINGLE: (),
    }


def test_runs_without_a_common_benchmark_are_refused(copied: Callable[..., Path]) -> None:
    def renamed(results: Json) -> None:
        for key in ("evaluation", "benchmarks"):
            results[key] = {"magicbrush/all-turns": results[key][SINGLE]}

    with pytest.raises(StoreError, match=r"two: magicbrush/all-turns"):
        compare_runs([copied("one"), copied("two", renamed)])


def test_a_folder_without_results_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no results in this folder"):
        compare_runs([tmp_path])


def test_results_that_cannot_be_read_are_refused(copied: Callable[..., Path]) -> None:
    run = copied("one")
    (run / "results.json").write_text("{")
    with pytest.raises(CorruptError, match=r"results\.json"):
        compare_runs([run])


def test_a_run_that_has_evaluated_nothing_says_so(copied: Callable[..., Path]) -> None:
    with pytest.raises(StoreError, match="evaluated nothing yet"):
        compare_runs([copied("one", lambda results: results.pop("evaluation"))])


def test_missing_tables_of_cases_are_named(copied: Callable[..., Path]) -> None:
    run = copied("one")
    shutil.rmtree(run / "evaluation")
    with pytest.raises(StoreError, match="tables of cases are missing"):
        compare_runs([run])


def test_a_table_that_is_not_the_results_is_refused(copied: Callable[..., Path]) -> None:
    run = copied("one")
    altered_table(run, lambda table: table.slice(1))
    with pytest.raises(StoreError, match=r"9 cases and 8|12 cases and 11"):
        compare_runs([run])


def test_a_case_that_stands_twice_is_named(copied: Callable[..., Path]) -> None:
    def doubled(table: pa.Table) -> pa.Table:
        first = [name == SINGLE for name in table["benchmark"].to_pylist()].index(True)
        rows = list(range(table.num_rows))
        return table.take([*rows[: first + 1], first, *rows[first + 2 :]])

    run = copied("one")
    altered_table(run, doubled)
    with pytest.raises(StoreError, match="same cases once each"):
        compare_runs([run], metrics=["l1"])


def test_what_was_published_must_be_whole(copied: Callable[..., Path]) -> None:
    run = copied("one")
    published = sorted(path for path in (run / "evaluation").rglob("*") if path.is_file())
    record_manifest(run, "evaluation/darkroom", published)
    compare_runs([run], resamples=100)
    next(path for path in published if path.suffix == ".png").unlink()
    with pytest.raises(StoreError, match="published files are incomplete"):
        compare_runs([run])


def test_a_damaged_table_is_refused(copied: Callable[..., Path]) -> None:
    run = copied("one")
    (run / "evaluation/darkroom/cases.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(CorruptError, match=r"cases\.parquet"):
        compare_runs([run])


def test_a_run_without_a_fingerprint_cannot_be_compared(copied: Callable[..., Path]) -> None:
    with pytest.raises(StoreError, match="no fingerprint for the benchmark"):
        compare_runs([copied("one", lambda results: results.pop("benchmarks"))])


def test_a_comparison_without_any_number_exits_with_the_reason(made: Path, tmp_path: Path) -> None:
    bare = evaluate(tmp_path / "bare", [ABSENT], list(single_edits(2)))
    told = CliRunner().invoke(app, ["compare", str(bare)])
    assert told.exit_code == 1, told.output
    assert "error: these runs: nothing was scored: 1.0 weights are absent" in told.output
    assert CliRunner().invoke(app, ["compare", str(made / "two")]).exit_code == 0


def test_wrong_questions_are_refused(made: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean 'l1_inside'"):
        compare_runs([made / "one"], metrics=["l1_inisde"])
    with pytest.raises(RecipeError, match="named twice"):
        compare_runs([made / "one", made / "two" / ".." / "one"])
    with pytest.raises(RecipeError, match="nothing to compare"):
        compare_runs([])
    with pytest.raises(RecipeError, match="at least 100"):
        compare_runs([made / "one"], resamples=5)


def test_what_is_printed_fits_80_columns(
    both: Comparison, capsys: pytest.CaptureFixture[str]
) -> None:
    print_comparison(both)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    for words in ("≈ +0.0000", "− whole", "absent: 1.0 weights are absent; run `get the-weights`"):
        assert words in printed
    assert "differences over the 6 cases that all answered" in printed


def test_many_pairs_are_printed_against_the_first_editor(
    made: Path, copied: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [made / "one", made / "two", copied("one", to="three")]
    print_comparison(compare_runs(runs, metrics=["l1"], resamples=100))
    printed = capsys.readouterr().out
    assert "differences of still (one); `--out DIR` writes those of all 21 pairs" in printed
    assert "half (three)\n" not in printed.replace(" ", "")


def test_the_page_loads_nothing_and_escapes_everything(both: Comparison, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    page = write_comparison(replace(both, runs={evil: Path(evil)}), tmp_path).read_text("utf-8")
    elements = Elements(page)
    assert evil in elements.texts
    assert not elements.loads
    assert any("default-src 'none'" in (each.get("content") or "") for each in elements.of("meta"))


def test_the_page_marks_noise_and_what_is_better(both: Comparison, tmp_path: Path) -> None:
    elements = Elements(write_comparison(both, tmp_path).read_text("utf-8"))
    assert {"noise", "better", "worse"} <= {each.get("class") for each in elements.of("td")}
    assert f"{SINGLE}: paired differences over the 6 cases that all editors answered" in (
        elements.texts
    )


@pytest.fixture
def departing(made: Path, copied: Callable[..., Path]) -> Comparison:
    """Two runs, one with fewer steps for an editor than the protocol's card."""

    def fewer_steps(results: Json) -> None:
        for editor in results["benchmarks"][SINGLE]["editors"]:
            if editor["name"] == "whole":
                editor["departs"] = {"steps": {"given": 20, "card": 100}}

    return compare_runs([made / "one", copied("two", fewer_steps)], resamples=100)


def test_an_editor_that_departs_from_the_card_is_marked_wherever_it_is_printed(
    departing: Comparison, both: Comparison, capsys: pytest.CaptureFixture[str]
) -> None:
    print_comparison(departing)
    sessions, single = capsys.readouterr().out.split(f"{SINGLE}: 9 cases")
    assert "*" not in sessions
    assert re.search(r"^ +whole \* ", single, re.MULTILINE)
    assert "− whole *" in single
    assert "* whole departs: steps 20 (card 100)" in single
    print_comparison(both)
    assert "*" not in capsys.readouterr().out


def test_the_page_marks_an_editor_that_departs_from_the_card(
    departing: Comparison, both: Comparison, tmp_path: Path
) -> None:
    told = "departs: steps 20 (card 100)"
    page = write_comparison(departing, tmp_path / "a").read_text("utf-8")
    sessions, single = page.split('<section id="benchmark-2">')
    pairs = sum(
        each.metric == "l1" and "whole" in (each.first, each.second)
        for each in departing.benchmarks[1].differences
    )
    assert told not in sessions
    assert single.count(f'<span class="hint">{told}</span>') == 2  # main metrics, all metrics
    assert single.count(f'<span title="{told}">*') == 2 * pairs > 0
    assert "departs" not in write_comparison(both, tmp_path / "b").read_text("utf-8")


def test_the_json_is_the_comparison_and_the_files_are_the_same_each_time(
    both: Comparison, tmp_path: Path
) -> None:
    first, second = (write_comparison(both, tmp_path / name) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    stored = json.loads((tmp_path / "a" / "compare.json").read_text())
    assert stored == json.loads(json.dumps(both.to_json()))
    assert stored["benchmarks"][SINGLE]["scores"]["half"]["l1"]["count"] == 9
