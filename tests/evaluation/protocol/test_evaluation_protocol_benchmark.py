"""Editors by a protocol: run once, named as published, nothing skipped silently."""

import json
import math
import os
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from editloop.commands.terminal import print_results
from editloop.editors.recorded import RecordedEditor
from editloop.errors import RecipeError
from editloop.evaluation.evaluate import evaluate
from editloop.images.codec import decode, encode_png
from editloop.kernel.chunks import ChunkRunner
from editloop.loop.parts import PartContext
from editloop.registry import create
from editloop.schema import (
    EditedPair,
    EditRequest,
    EditSample,
    Image,
    Json,
    Pixels,
    Score,
    Unedited,
)
from editloop.settings import Settings as BaseSettings
from evaluation_cards import own_card
from evaluation_fakes import Fake
from magicbrush_data import SIZE, TURNS, make_outputs, make_split, picture

pytestmark = pytest.mark.slow

DARKER = "darker=python:test_evaluation_protocol_benchmark:Darker"
MASKLESS = "maskless=python:test_evaluation_protocol_benchmark:Maskless"
STOPPING = "stopping=python:test_evaluation_protocol_benchmark:Stopping"


class Darker(Fake):
    """An editor that darkens by 8 grey levels, inside the mask."""

    def one(self, request: EditRequest) -> Pixels | Unedited:
        allowed = np.full(request.image.shape[:2], 255) if request.mask is None else request.mask
        return np.where(allowed[..., None] > 0, np.maximum(request.image, 8) - 8, request.image)


class Maskless(Darker):
    """An editor that reads no mask."""

    uses_mask = False


class Stopping(Darker):
    """An editor that is interrupted, as by Ctrl-C, at the last session."""

    stops = True

    def edit(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        if Stopping.stops and requests[0].session == "102":
            raise KeyboardInterrupt
        return super().edit(requests)


@pytest.fixture(autouse=True)
def _nothing_asked() -> None:
    Fake.asked.clear()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_split(tmp_path_factory.mktemp("data"))


def run(data: Path, out: Path, *editors: str, **settings: Json) -> dict[str, Json]:
    return evaluate("magicbrush", data, editors, out, **{"metrics": ["l1"], **settings})


def means(results: dict[str, Json], editor: str) -> dict[str, float]:
    return {name: found[editor]["l1"]["mean"] for name, found in results["evaluation"].items()}


def test_every_edit_is_asked_once_for_all_benchmarks(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path, DARKER)
    asked = [(request.id, request.setting) for request in Fake.asked]
    later = sum(turns - 1 for turns in TURNS)
    assert len(asked) == len(set(asked)) == sum(TURNS) + later


def test_the_independent_setting_starts_from_the_truth_and_the_iterative_from_its_own(
    data: Path, tmp_path: Path
) -> None:
    run(data, tmp_path, DARKER)
    seen = {(each.session, each.turn, each.setting): each.image for each in Fake.asked}
    truth = decode((data / "images/101/101-output1.png").read_bytes())
    own = np.maximum(seen["101", 1, "independent"], 8) - 8
    assert np.array_equal(seen["101", 2, "independent"], truth)
    assert np.array_equal(seen["101", 2, "iterative"], own)


def test_outputs_are_named_as_the_released_evaluator_reads_them(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path, DARKER)
    folder = tmp_path / "evaluation/magicbrush/darker"
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")} == {
        "100/100_1.png",
        *(f"101/101_{name}.png" for name in ("1", "inde_2", "inde_3", "iter_2", "iter_3")),
        *(f"102/102_{name}.png" for name in ("1", "inde_2", "iter_2")),
    }


def test_kept_outputs_score_the_same_without_the_editor(data: Path, tmp_path: Path) -> None:
    live = run(data, tmp_path / "live", DARKER)
    kept = tmp_path / "live/evaluation/magicbrush/darker"
    recorded = run(data, tmp_path / "recorded", f"darker=recorded:{kept}")
    assert means(recorded, "darker") == means(live, "darker")


def test_a_second_run_asks_nothing_and_changes_no_byte(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path, DARKER)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    Fake.asked.clear()
    run(data, tmp_path, DARKER)
    assert not Fake.asked
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_editors_and_metrics_may_be_added_without_asking_again(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path, DARKER)
    Fake.asked.clear()
    results = run(data, tmp_path, DARKER, "copy", metrics=["l1", "l2", "own=pixels:ssim"])
    assert not Fake.asked
    found = results["evaluation"]["magicbrush/all-turns"]
    assert {name: set(scores) for name, scores in found.items()} == {
        "darker": {"l1", "l2", "own"},
        "copy": {"l1", "l2", "own"},
    }


def test_an_interrupted_run_goes_on_where_it_stopped(data: Path, tmp_path: Path) -> None:
    Stopping.stops = True
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path, STOPPING, chunk=1)
    Stopping.stops = False
    Fake.asked.clear()
    resumed = run(data, tmp_path, STOPPING, chunk=1)
    assert {request.session for request in Fake.asked} == {"102"}
    assert means(resumed, "stopping") == means(run(data, tmp_path / "whole", DARKER), "darker")


def published(run: Path) -> dict[str, bytes]:
    paths = [run / "results.json", *sorted((run / "evaluation").rglob("*.*"))]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths}


def test_the_number_of_workers_changes_no_byte(data: Path, tmp_path: Path) -> None:
    outputs = make_outputs(tmp_path / "outputs")
    made = []
    for at, (workers, engine) in enumerate(((1, "processes"), (2, "processes"), (2, "threads"))):
        settings = {"chunk": 1, "metrics": ["l1", "ssim=pixels:ssim"]}
        place = {"workers": workers, "engine": engine}
        run(data, tmp_path / str(at), f"mine=recorded:{outputs}", "copy", **settings, **place)
        made.append(published(tmp_path / str(at)))
    assert made[0] == made[1] == made[2]
    assert len(made[0]) > 10


def test_only_workers_read_the_pictures(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = make_outputs(tmp_path / "outputs")
    editors = [f"mine=recorded:{outputs}"]
    settings = {"protocol": "magicbrush", "data": str(data), "editors": editors, "chunk": 1}
    part = create("evaluate", "protocol", {**settings, "metrics": ["l1"]})
    folders = {name: tmp_path / name for name in ("run", "work", "cache", "output")}
    workers = partial(ChunkRunner, 2)
    context = PartContext("magicbrush", 0, inputs="", chunk_runner=workers, **folders)
    monkeypatch.setattr("editloop.sources.reading._CHECKED", 1)
    for name in ("check_session", "_filled"):  # in this process; those of the workers are as ever
        monkeypatch.delattr(f"editloop.sources.reading.{name}")
    found = part.run(context).results["evaluation"]["magicbrush/all-turns"]
    assert found["mine"]["l1"]["count"] == sum(TURNS)


@pytest.mark.parametrize("workers", [1, 2])
def test_faults_of_the_data_are_told_before_any_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr("editloop.sources.reading._CHECKED", 1)
    data = make_split(tmp_path / "data")
    for name in ("100/100-output1.png", "102/102-mask2.png"):
        (data / "images" / name).write_bytes(b"no picture")
    with pytest.raises(RecipeError, match="2 problems in the data") as told:
        run(data, tmp_path / "out", DARKER, workers=workers)
    assert str(told.value).index("100-output1.png") < str(told.value).index("102-mask2.png")
    assert not Fake.asked


def test_a_killed_worker_costs_the_sessions_that_it_measured(data: Path, tmp_path: Path) -> None:
    outputs = make_outputs(tmp_path / "outputs")
    log = tmp_path / "log"
    made = []
    for name in ("killed", "whole"):  # in the second no worker dies
        metrics = [f"own=python:test_evaluation_protocol_benchmark:FatalOnce?log={log}"]
        settings = {"metrics": metrics, "chunk": 1, "workers": 2}
        run(data, tmp_path / name, f"mine=recorded:{outputs}", **settings)
        made.append(published(tmp_path / name))
        if name == "killed":
            measured = Counter(log.read_text().split())
    assert made[0] == made[1]
    assert set(measured) == {"100", "101", "102"}
    assert sorted(measured.values()) == [1, 1, 2]


class FatalOnce:
    """The mean of a picture; kills its process once, after it has logged the session."""

    class Settings(BaseSettings):
        log: str

    name = "own"
    version = "1"
    needs = frozenset({"edited"})

    def __init__(self, settings: "FatalOnce.Settings") -> None:
        self.log = Path(settings.log)

    def measure(self, batch: Sequence[EditedPair]) -> list[Score]:
        with self.log.open("a") as lines:
            lines.write(f"{batch[0].id[:3]}\n")
        with suppress(FileExistsError):
            self.log.with_suffix(".killed").touch(exist_ok=False)  # by one worker alone
            os.kill(os.getpid(), signal.SIGKILL)
        return [Score(float(pair.edited.mean())) for pair in batch]


def test_masks_make_benchmarks_of_their_own(data: Path, tmp_path: Path) -> None:
    results = run(data, tmp_path, DARKER, mask="both")
    assert set(results["evaluation"]) >= {"magicbrush/all-turns", "magicbrush/all-turns/mask"}
    assert [request.mask is None for request in Fake.asked].count(True) == len(Fake.asked) / 2
    scores = means(results, "darker")
    assert scores["magicbrush/all-turns"] != scores["magicbrush/all-turns/mask"]


def test_an_editor_that_reads_no_mask_is_unavailable_with_one(data: Path, tmp_path: Path) -> None:
    results = run(data, tmp_path, MASKLESS, "copy", mask="with")
    score = results["evaluation"]["magicbrush/all-turns/mask"]["maskless"]["l1"]
    assert score["mean"] is None
    assert "reads no mask" in score["reason"]


def test_recorded_pictures_are_of_one_way_of_asking(data: Path, tmp_path: Path) -> None:
    outputs = make_outputs(tmp_path / "outputs")
    with pytest.raises(RecipeError, match="with a mask or without"):
        run(data, tmp_path / "out", f"recorded:{outputs}", mask="both")


def test_everything_that_recorded_outputs_lack_is_listed(data: Path, tmp_path: Path) -> None:
    outputs = make_outputs(tmp_path / "outputs")
    (outputs / "101/101_inde_2.png").unlink()
    broken = (outputs / "102/102_1.png").read_bytes()
    (outputs / "102/102_1.png").write_bytes(broken[: len(broken) // 2])
    (outputs / "101/101_iter_2.png").unlink()  # no published number needs it
    with pytest.raises(RecipeError) as caught:
        run(data, tmp_path / "out", f"mine=recorded:{outputs}", DARKER)
    assert "2 problems" in caught.value.cause
    assert "101_inde_2.png" in str(caught.value)
    assert "102_1.png cannot be read" in str(caught.value)
    assert not Fake.asked


def test_missing_outputs_may_be_counted_but_never_averaged(data: Path, tmp_path: Path) -> None:
    outputs = make_outputs(tmp_path / "outputs")
    whole = run(data, tmp_path / "whole", f"mine=recorded:{outputs}")
    (outputs / "101/101_inde_2.png").unlink()
    results = run(data, tmp_path / "out", f"mine=recorded:{outputs}", missing="count")
    score = results["evaluation"]["magicbrush/all-turns"]["mine"]["l1"]
    assert score["count"] == sum(TURNS) - 1
    assert score["coverage"] == pytest.approx(1 - 1 / sum(TURNS))
    assert score["mean"] != means(whole, "mine")["magicbrush/all-turns"]


def test_broken_data_is_listed_whole_and_nothing_is_asked(tmp_path: Path) -> None:
    broken = make_split(tmp_path / "broken")
    (broken / "images/100/100-output1.png").unlink()
    (broken / "images/102/102-input.png").write_bytes(b"no picture")
    with pytest.raises(RecipeError) as caught:
        run(broken, tmp_path / "out", DARKER)
    assert "2 problems in the data" in caught.value.cause
    assert all(name in str(caught.value) for name in ("100-output1.png", "102-input.png"))
    assert not Fake.asked


def test_absent_weights_make_a_metric_unavailable_and_the_rest_go_on(
    data: Path, tmp_path: Path
) -> None:
    results = run(data, tmp_path, "copy", metrics=["l1", "dino"])
    found = results["evaluation"]["magicbrush/all-turns"]["copy"]
    assert found["l1"]["mean"] is not None
    assert found["dino"]["mean"] is None
    assert found["dino"]["command"] == "hf download facebook/dino-vits16"


def test_a_result_says_whether_it_is_the_whole_test(data: Path, tmp_path: Path) -> None:
    results = run(data, tmp_path, "copy")
    card = results["benchmarks"]["magicbrush/all-turns"]["protocol"]
    assert (card["whole"], card["given"]) == (False, {"sessions": 3, "cases": 6})
    assert card["published"] == {"sessions": 535, "cases": 1053}


def test_a_fingerprint_is_of_protocol_and_data_not_of_editors(data: Path, tmp_path: Path) -> None:
    def fingerprint(name: str, where: Path, *editors: str) -> str:
        results = run(where, tmp_path / name, *editors)
        found: str = results["benchmarks"]["magicbrush/all-turns"]["fingerprint"]
        return found

    other = make_split(tmp_path / "other", (1, 2))
    moved = make_split(tmp_path / "moved")
    assert fingerprint("a", data, "copy") == fingerprint("b", moved, DARKER)
    assert fingerprint("a", data, "copy") != fingerprint("c", other, "copy")


def judged(folder: Path, card: str, verdicts: list[Json], count: int = 4) -> dict[str, Json]:
    """The results of a judged card over single edits with recorded verdicts."""
    rows = [
        {"file_name": f"{i}.png", "instruction": "x", "id": str(i), "edit_type": "add"}
        for i in range(count)
    ]
    (folder / "data").mkdir()
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (folder / "data/metadata.jsonl").write_text(lines)
    for i in range(count):
        (folder / "data" / f"{i}.png").write_bytes(encode_png(picture(str(i))))
    lines = [json.dumps(verdict) for verdict in verdicts]
    (folder / "copy.jsonl").write_text("\n".join(lines))
    path = own_card(folder, data={"layout": "metadata"}, metrics={}, **card)
    judge = f"recorded:{folder}/{{editor}}.jsonl"
    return evaluate(path, folder / "data", ["copy"], folder / "out", judge=judge)


def test_recorded_verdicts_become_accuracy_and_score(tmp_path: Path) -> None:
    perspectives = {"following": {"low": 0, "high": 5, "passes": True}}
    card = {"judge": {"perspectives": perspectives}, "benchmarks": {"test": {}}}
    verdicts = [
        {"id": "0", "verdict": {"following": {"value": 5, "passed": True}}},
        {"id": "1", "verdict": {"following": {"value": 2, "passed": False, "text": "half"}}},
        {"id": "2", "verdict": {"following": {"value": 9, "passed": True}}},
    ]
    results = judged(tmp_path, card, verdicts)
    found = results["evaluation"]["magicbrush/test"]["copy"]
    assert (found["following_accuracy"]["mean"], found["following_score"]["mean"]) == (0.5, 3.5)
    assert found["following_score"]["coverage"] == 0.5
    cases = pq.read_table(tmp_path / "out/evaluation/card/cases.parquet").to_pylist()
    reasons = [{each["reason"] for each in case["unscored"]} for case in cases]
    assert any("out of range" in reason for reason in reasons[2])
    assert reasons[3] == {"the file of verdicts has no line for this edit"}


def test_a_judged_protocol_without_a_judge_is_unavailable(data: Path, tmp_path: Path) -> None:
    perspectives = {"following": {"low": 0, "high": 5}}
    card = own_card(tmp_path, judge={"perspectives": perspectives})
    results = evaluate(card, data, ["copy"], tmp_path / "out", metrics=["l1"])
    score = results["evaluation"]["magicbrush/all-turns"]["copy"]["following"]
    assert (score["mean"], score["reason"]) == (None, "no judge was given")
    assert "--judge" in score["command"]


def test_a_sweep_asks_at_every_value(data: Path, tmp_path: Path) -> None:
    sweep = {"setting": "image_guidance", "values": [1.0, 1.5], "across": "l1", "up": "l2"}
    card = own_card(tmp_path, sweep=sweep)
    results = evaluate(card, data, [DARKER], tmp_path / "out", metrics=["l1", "l2"])
    assert {request.settings["image_guidance"] for request in Fake.asked} == {1.0, 1.5}
    facts = results["benchmarks"]["magicbrush/all-turns"]
    assert facts["sweep"]["curves"] == {
        "darker": [{"name": "darker@1", "value": 1.0}, {"name": "darker@1.5", "value": 1.5}]
    }
    with pytest.raises(RecipeError, match="sweeps image_guidance"):
        evaluate(card, data, ["diffusion:x?image_guidance=1"], tmp_path / "out")


def test_recorded_pictures_are_found_by_id_and_never_outside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    for name in ("outputs/a.png", "secret.png"):
        (tmp_path / name).write_bytes(encode_png(picture(name)))
    editor = RecordedEditor(RecordedEditor.Settings(target=tmp_path / "outputs"))
    assert editor.find(EditSample("a", Image(b"")), "independent") == tmp_path / "outputs/a.png"
    outside = editor.find(EditSample("../secret", Image(b"")), "independent")
    assert isinstance(outside, Unedited)


def test_a_metric_whose_settings_change_is_measured_again(data: Path, tmp_path: Path) -> None:
    to_target = run(data, tmp_path, "copy", metrics=["own=pixels:l1"])
    to_source = run(data, tmp_path, "copy", metrics=["own=pixels:l1?against=source"])

    def mean(results: Json) -> float:
        return results["evaluation"]["magicbrush/all-turns"]["copy"]["own"]["mean"]

    assert mean(to_target) > mean(to_source) == 0


def found(folder: Path, sample: EditSample) -> Path | Unedited:
    return RecordedEditor(RecordedEditor.Settings(target=folder)).find(sample, "independent")


def test_a_lone_edit_never_takes_the_picture_of_another(tmp_path: Path) -> None:
    for name in ("a.png", "a_1.png"):
        (tmp_path / name).write_bytes(encode_png(picture(name)))
    assert found(tmp_path, EditSample("a", Image(b""))) == tmp_path / "a.png"
    (tmp_path / "a.png").unlink()
    assert isinstance(found(tmp_path, EditSample("a", Image(b""))), Unedited)


def test_a_session_of_any_name_is_found_under_it(tmp_path: Path) -> None:
    path = tmp_path / "my photo/my photo_1.png"
    path.parent.mkdir()
    path.write_bytes(encode_png(picture("x")))
    assert found(tmp_path, EditSample("my photo/1", Image(b""), session="my photo")) == path
    long = EditSample("x" * 300, Image(b""))
    assert isinstance(found(tmp_path, long), Unedited)


def test_linked_pictures_that_change_are_scored_again(data: Path, tmp_path: Path) -> None:
    real = make_outputs(tmp_path / "real")
    (tmp_path / "linked").mkdir()
    for session in real.iterdir():
        (tmp_path / "linked" / session.name).symlink_to(session)
    spec = f"mine=recorded:{tmp_path / 'linked'}"
    before = run(data, tmp_path / "out", spec)
    (real / "100/100_1.png").write_bytes(encode_png(picture("another")))
    assert means(run(data, tmp_path / "out", spec), "mine") != means(before, "mine")


def test_a_broken_picture_is_refused_even_where_absent_ones_may_be_counted(
    data: Path, tmp_path: Path
) -> None:
    outputs = make_outputs(tmp_path / "outputs")
    (outputs / "101/101_iter_2.png").write_bytes(b"no picture")
    with pytest.raises(RecipeError, match="cannot be read"):
        run(data, tmp_path / "out", f"mine=recorded:{outputs}", missing="count")


@pytest.mark.parametrize("spec", ["l1=pixels:l2", "pixels:l1?against=source", "l1,a=pixels:l2"])
def test_a_further_metric_needs_a_name_of_its_own(data: Path, tmp_path: Path, spec: str) -> None:
    names = [*spec.split(","), *(["a=pixels:psnr"] if "," in spec else [])]
    with pytest.raises(RecipeError, match="the name of another metric"):
        run(data, tmp_path, "copy", metrics=names)


def test_an_input_smaller_than_its_output_is_no_problem(tmp_path: Path) -> None:
    data = make_split(tmp_path / "data", (1,))
    path = data / "images/100/100-input.png"
    path.write_bytes(encode_png(picture("small", 24)))
    results = run(data, tmp_path / "out", DARKER, mask="both", metrics=["l1", "i=pixels:l1_inside"])
    score = results["evaluation"]["magicbrush/all-turns/mask"]["darker"]["i"]
    assert score["coverage"] == 1


def test_a_judge_of_a_protocol_that_has_none_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="protocol uses no judge"):
        run(data, tmp_path, "copy", judge="metric")


def test_a_mask_of_another_shape_is_a_problem(tmp_path: Path) -> None:
    data = make_split(tmp_path / "data", (1,))
    (data / "images/100/100-mask1.png").write_bytes(encode_png(np.zeros((48, 30), np.uint8)))
    with pytest.raises(RecipeError, match="mask is 30 x 48"):
        run(data, tmp_path / "out", DARKER)


def test_masks_of_labels_are_read_by_the_rule_and_refused_without(tmp_path: Path) -> None:
    data = make_split(tmp_path / "data", (1,))
    path = data / "images/100/100-mask1.png"
    region = np.zeros((SIZE, SIZE), np.uint8)
    region[4:20, 4:20] = 1
    path.write_bytes(encode_png(region + 1))
    with pytest.raises(RecipeError, match=r"mask1\.png.*unclear(?s:.*)--mask-rule"):
        run(data, tmp_path / "out", DARKER, mask="with")
    run(data, tmp_path / "out", DARKER, mask="with", mask_rule="index:2")
    assert np.array_equal(Fake.asked[-1].mask, region * 255)
    run(data, tmp_path / "out", DARKER, mask="with", mask_rule="index:2", invert_mask=True)
    assert np.array_equal(Fake.asked[-1].mask, 255 - region * 255)


def test_a_case_with_a_black_mask_is_unedited_with_the_reason(tmp_path: Path) -> None:
    data = make_split(tmp_path / "data", (1,))
    (data / "images/100/100-mask1.png").write_bytes(encode_png(np.zeros((SIZE, SIZE), np.uint8)))
    results = run(data, tmp_path / "out", DARKER, "copy", mask="with", metrics=["l1"])
    assert not Fake.asked
    score = results["evaluation"]["magicbrush/all-turns/mask"]["darker"]["l1"]
    assert score["mean"] is None
    cases = tmp_path / "out/evaluation/magicbrush"
    assert "the mask is all black" in str(
        [pq.read_table(path).to_pylist() for path in cases.rglob("*.parquet")]
    )


@pytest.mark.parametrize("value", [True, math.nan, math.inf])
def test_a_verdict_that_is_no_number_is_refused(tmp_path: Path, value: float) -> None:
    perspectives = {"following": {"low": 0, "high": 5}}
    card = {"judge": {"perspectives": perspectives}, "benchmarks": {"test": {}}}
    with pytest.raises(RecipeError, match="line 1: following: neither a finite number"):
        judged(tmp_path, card, [{"id": "0", "verdict": {"following": {"value": value}}}])


def test_a_spec_that_departs_from_the_card_says_so(data: Path, tmp_path: Path) -> None:
    results = run(data, tmp_path, "mine=sdedit:absent-model?steps=20&text_guidance=7.5")
    for facts in results["benchmarks"].values():
        assert facts["editors"][0]["departs"] == {"steps": {"given": 20, "card": 100}}
    assert "departs: steps 20 (card 100)" in (tmp_path / "report.html").read_text()


def test_an_editor_as_the_card_has_it_departs_from_nothing(data: Path, tmp_path: Path) -> None:
    results = run(data, tmp_path, DARKER, "copy")
    editors = [each for own in results["benchmarks"].values() for each in own["editors"]]
    assert [(each["departs"], each["leftovers"]) for each in editors] == [({}, None)] * 6
    assert "departs" not in (tmp_path / "report.html").read_text()


def test_recorded_pictures_that_no_turn_asks_for_are_listed(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = make_outputs(tmp_path / "outputs")
    for name in ("100/100_9.png", "extra.jpg"):
        (outputs / name).write_bytes(encode_png(picture("left over")))
    (outputs / "notes.txt").write_text("no picture")
    results = run(data, tmp_path / "out", f"theirs=recorded:{outputs}")
    for facts in results["benchmarks"].values():
        found = facts["editors"][0]["leftovers"]
        assert found == {"count": 2, "first": ["100/100_9.png", "extra.jpg"]}
    assert "2 pictures not used by any turn" in (tmp_path / "out/report.html").read_text()
    print_results(results)
    assert "2 pictures not used by any turn" in capsys.readouterr().out


def test_pictures_of_the_published_names_leave_nothing_over(data: Path, tmp_path: Path) -> None:
    outputs = make_outputs(tmp_path / "outputs")
    results = run(data, tmp_path / "out", f"theirs=recorded:{outputs}")
    assert results["benchmarks"]["magicbrush/all-turns"]["editors"][0]["leftovers"] is None
