"""The loop: each part runs once, changes are refused, interruptions do not change the result."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import loop_parts
from editloop.cli import app
from editloop.errors import BusyError, ChangedError, RecipeError, StoreError
from editloop.loop import run as loop
from editloop.loop.recipe import Recipe, override
from editloop.settings import validate
from editloop.storage.locks import lock
from editloop.storage.verify import verify

RECIPE = {
    "name": "small",
    "sources": [{"kind": "photos", "size": 32, "train": 6, "heldout": 2}],
    "build": [{"kind": "darkroom", "operations": ["sepia", "night"]}],
    "train": [{"name": "small", "kind": "loop_parts:Counting"}],
    "evaluate": [{"kind": "loop_parts:Benchmark", "name": "counting"}],
}
PARTS = ("build", "train", "evaluate")


def recipe(*overrides: str) -> Recipe:
    content = RECIPE
    for text in overrides:
        content = override(content, text)
    return validate(Recipe, content, where="test")


def run(out: Path, *overrides: str, only=PARTS, **options):
    loop_parts.MADE.clear()
    return loop.run(recipe(*overrides), out, only=only, workers=1, **options)


def content_of(out: Path) -> dict[str, bytes]:
    """Return every published file except the timings."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and ".editloop" not in path.parts and path.name != "timings.json"
    }


def test_a_run_publishes_data_models_evaluation_and_results(tmp_path) -> None:
    results = run(tmp_path)
    assert results["build"]["splits"]["train"]["out"] == 6
    assert results["train"]["small"] == {"samples": 6}
    assert results["evaluation"]["counting"]["small"]["l1"]["mean"] == 6
    assert json.loads((tmp_path / "models/small/model.json").read_text()) == 6
    assert (tmp_path / "evaluation/counting/cases.json").exists()
    assert set(json.loads((tmp_path / "timings.json").read_text())) == {
        "build",
        "models/small",
        "evaluation/counting",
    }
    assert verify(tmp_path) == []


def test_a_second_run_makes_nothing(tmp_path) -> None:
    first = run(tmp_path)
    before = content_of(tmp_path)
    assert run(tmp_path) == first
    assert loop_parts.MADE == []
    assert content_of(tmp_path) == before


def test_a_changed_part_is_refused_and_made_as_a_new_version(tmp_path) -> None:
    run(tmp_path)
    with pytest.raises(ChangedError, match=r"parameters\.steps: 1 -> 3"):
        run(tmp_path, "train.small.steps=3")
    assert loop.results(tmp_path)["evaluation"]["counting"]["small"]["l1"]["mean"] == 6
    results = run(tmp_path, "train.small.steps=3", new_version=True)
    assert loop_parts.MADE == ["small", "counting"]
    assert results["evaluation"]["counting"]["small"]["l1"]["mean"] == 18


def test_only_makes_what_it_names(tmp_path) -> None:
    assert "train" not in run(tmp_path, only=("build",))
    assert loop_parts.MADE == []
    run(tmp_path, only=("train",))
    assert loop_parts.MADE == ["small"]


def test_only_without_what_it_needs_says_what_is_missing(tmp_path) -> None:
    with pytest.raises(StoreError, match="'data' has not been made yet"):
        run(tmp_path, only=("train",))


def test_an_unknown_part_is_refused(tmp_path) -> None:
    with pytest.raises(RecipeError, match="known: sources, build, judge, train, evaluate, report"):
        run(tmp_path, only=("trian",))


def test_a_run_does_not_replace_another_recipes(tmp_path) -> None:
    run(tmp_path)
    before = content_of(tmp_path)
    with pytest.raises(StoreError, match="run of another recipe, small"):
        loop.run(validate(Recipe, {**RECIPE, "name": "other"}, where="test"), tmp_path)
    assert content_of(tmp_path) == before


@pytest.mark.slow
def test_an_interrupted_part_goes_on_and_ends_the_same(tmp_path) -> None:
    run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", "train.small.interrupt=true")
    run(tmp_path / "stopped", "train.small.interrupt=true")
    whole, stopped = content_of(tmp_path / "whole"), content_of(tmp_path / "stopped")
    assert {**whole, "recipe.json": b""} == {**stopped, "recipe.json": b""}


GROWING = "train.small.kind=loop_parts:Growing"


def grow(out: Path, steps: int, *overrides: str, **options):
    return run(out, GROWING, f"train.small.steps={steps}", *overrides, **options)


def test_a_finished_part_is_taken_further_and_read_again(tmp_path) -> None:
    grow(tmp_path, 2)
    results = grow(tmp_path, 4)
    assert loop_parts.MADE == ["small", "2", "3", "counting"]
    assert results["train"]["small"] == {"steps": 4}
    assert results["evaluation"]["counting"]["small"]["l1"]["mean"] == 4
    assert verify(tmp_path) == []
    assert grow(tmp_path, 4) == results
    assert loop_parts.MADE == []
    with pytest.raises(ChangedError, match=r"parameters\.steps: 4 -> 3"):
        grow(tmp_path, 3)


def test_taken_further_alone_its_older_evaluation_is_no_result_until_it_is_made_again(
    tmp_path,
) -> None:
    grow(tmp_path, 2)
    assert "evaluation" not in grow(tmp_path, 3, only=("train",))
    with pytest.raises(ChangedError, match=r"evaluate\.counting(.|\n)*parameters\.steps: 1 -> 7"):
        grow(tmp_path, 3, "evaluate.counting.steps=7")
    assert grow(tmp_path, 3)["evaluation"]["counting"]["small"]["l1"]["mean"] == 3
    assert loop_parts.MADE == ["counting"]


def test_interrupted_while_it_is_taken_further_it_goes_on(tmp_path) -> None:
    grow(tmp_path, 1)
    with pytest.raises(KeyboardInterrupt):
        grow(tmp_path, 4, "train.small.interrupt=true")
    assert json.loads((tmp_path / "models/small/model.json").read_text()) == 1
    results = grow(tmp_path, 5)
    assert loop_parts.MADE == ["small", "2", "3", "4", "counting"]
    assert results["evaluation"]["counting"]["small"]["l1"]["mean"] == 5


def test_without_its_work_a_finished_part_cannot_be_taken_further(tmp_path) -> None:
    grow(tmp_path, 1)
    (work,) = (path.parent for path in (tmp_path / ".editloop/train.small").rglob("trimmed"))
    shutil.rmtree(work)
    with pytest.raises(StoreError, match="go on from was removed"):
        grow(tmp_path, 2)
    assert grow(tmp_path, 2, new_version=True)["train"]["small"] == {"steps": 2}


def test_a_plan_of_a_longer_training_has_something_to_do(tmp_path) -> None:
    grow(tmp_path, 1)
    states = [
        {
            row[0]: row[1]
            for row in loop.dry_run(recipe(GROWING, f"train.small.steps={n}"), tmp_path)
        }
        for n in (1, 2)
    ]
    assert [each["train.small"] for each in states] == ["done", "to do"]


def test_ctrl_c_says_how_to_go_on(tmp_path) -> None:
    path = tmp_path / "recipe.json"
    train = [{**RECIPE["train"][0], "interrupt": True}]
    path.write_text(json.dumps({**RECIPE, "train": train}))
    command = ["run", str(path), "--out", str(tmp_path / "out"), "--workers", "1"]
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 130
    assert "Run the same command again to continue" in answer.output


def test_a_run_that_scored_nothing_exits_with_the_reason(tmp_path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(
        json.dumps({"name": "x", "evaluate": [{"name": "dark", "kind": "loop_parts:Unscored"}]})
    )
    command = ["run", str(path), "--out", str(tmp_path / "out"), "--only", "evaluate"]
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 1
    assert "error: dark: nothing was scored: the lights are off" in answer.output


def test_a_second_driver_is_refused(tmp_path) -> None:
    with lock(tmp_path), pytest.raises(BusyError):
        run(tmp_path)


def test_showing_a_folder_without_a_run_says_so(tmp_path) -> None:
    with pytest.raises(StoreError, match="no run in this folder"):
        loop.results(tmp_path)


def test_a_plan_checks_every_part_and_touches_nothing(tmp_path) -> None:
    rows = loop.dry_run(recipe(), tmp_path)
    assert [row[:2] for row in rows] == [
        ("source.photos", "to do"),
        ("build.darkroom", "to do"),
        ("train.small", "to do"),
        ("evaluate.counting", "to do"),
    ]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RecipeError, match="did you mean 'operations'"):
        loop.dry_run(recipe("build.darkroom.operation=x"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.4, 0.9, 1.5])
def test_killed_at_any_moment_it_ends_with_the_same_bytes(tmp_path, after: float) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({**RECIPE, "sources": [{**RECIPE["sources"][0], "train": 150}]}))
    command = [sys.executable, "-c", "from editloop.cli import main; main()", "run", str(path)]
    parts = [word for part in PARTS for word in ("--only", part)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}

    def start(out: str) -> subprocess.Popen[bytes]:
        arguments = [*command, "--out", str(tmp_path / out), *parts]
        return subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL)

    assert start("whole").wait() == 0
    with start("killed") as killed:
        time.sleep(after)
        killed.send_signal(signal.SIGKILL)
    assert start("killed").wait() == 0
    assert content_of(tmp_path / "killed") == content_of(tmp_path / "whole")
    assert verify(tmp_path / "killed") == []
