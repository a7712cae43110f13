"""What a run's records name may come from somebody else: their classes are never imported."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from editloop.cli import app
from editloop.errors import ChangedError, RecipeError
from editloop.loop import run as loop
from editloop.registry import create, load, parse_spec, recorded, settings_of
from editloop.storage.files import Files
from editloop.storage.records import read_record, write_record

RECIPE = """
name: own
sources: [{kind: photos, size: 32, train: 2, heldout: 0}]
build: [{kind: darkroom, operations: [sepia]}]
"""


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that exists once the module `evil_parts` was imported."""
    ran = tmp_path / "ran"
    place = tmp_path / "modules"
    place.mkdir()
    (place / "evil_parts.py").write_text(f"open({str(ran)!r}, 'w').close()\nclass Own: pass\n")
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.delitem(sys.modules, "evil_parts", raising=False)
    return ran


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "own.yaml").write_text(RECIPE)
    loop.run(tmp_path / "own.yaml", tmp_path / "run", only=["sources", "build"], workers=1)
    return tmp_path / "run"


def change_parts(run: Path, change: Callable[[Any], None]) -> None:
    path = run / ".editloop" / "build" / "parts.json"
    parts = read_record(Files(), path)
    change(parts)
    write_record(Files(), path, parts)


def own(parts: Any) -> None:
    parts["steps"][0]["kind"] = "evil_parts:Own"


def own_source(parts: Any) -> None:
    parts["sources"][0]["kind"] = "python:evil_parts:Own"


def own_judge(judge: Any) -> Callable[[Any], None]:
    def change(parts: Any) -> None:
        settings = {"judge": judge}
        parts["steps"].append(
            {"group": "build", "name": "judge", "kind": "judge", "settings": settings}
        )

    return change


PANEL = {"kind": "panel", "judges": ["metric", "mine=python:evil_parts:Own?a=1"]}


@pytest.mark.parametrize(
    "change",
    [
        own,
        own_source,
        *map(own_judge, ("python:evil_parts:Own", {"kind": "evil_parts:Own"}, PANEL)),
    ],
    ids=["step", "source", "judge", "judge in full", "panel"],
)
def test_retry_imports_nothing_that_only_records_name(
    run: Path, evil: Path, change: Callable[[Any], None]
) -> None:
    change_parts(run, change)
    answer = CliRunner().invoke(app, ["retry", str(run), "--class", "bug"])
    assert isinstance(answer.exception, RecipeError)
    assert "a recorded" in str(answer.exception)
    assert "evil_parts:Own" in str(answer.exception)
    assert not evil.exists()


@pytest.mark.slow
@pytest.mark.parametrize("group", ["train", "evaluate"])
def test_retry_and_show_import_no_part_of_a_recorded_recipe(
    run: Path, evil: Path, group: str
) -> None:
    content = json.loads((run / "recipe.json").read_bytes())
    content[group] = [{"kind": "evil_parts:Own", "name": "own"}]
    (run / "recipe.json").write_text(json.dumps(content))
    with pytest.raises(RecipeError, match="a recorded"):
        loop.retry(run)
    loop.report(run)
    loop.results(run)
    assert not evil.exists()


def test_ones_own_recipe_is_run_and_must_agree_with_the_records(
    run: Path, tmp_path: Path, evil: Path
) -> None:
    change_parts(run, own)
    answer = CliRunner().invoke(app, ["retry", str(run), "--recipe", str(tmp_path / "own.yaml")])
    assert answer.output == "0 retried, 0 passed\n"
    assert not evil.exists()
    other = tmp_path / "other.yaml"
    other.write_text(RECIPE.replace("sepia", "night"))
    with pytest.raises(ChangedError, match="night"):
        loop.retry(run, recipe=other)


def test_recorded_kinds_of_this_package_load_in_any_spelling() -> None:
    with recorded():
        spelt = load("build", "editloop.darkroom.step:DarkroomStep")
        assert spelt is load("build", "darkroom")
        assert parse_spec("metric", "judge").create("judge").name == "metric"


@pytest.mark.parametrize("call", [load, settings_of, lambda *names: create(*names, {})])
def test_no_way_into_the_registry_imports_a_recorded_class(
    evil: Path, tmp_path: Path, call: Callable[[str, str], Any]
) -> None:
    with recorded(), pytest.raises(RecipeError, match="a recorded editor kind"):
        call("editor", "evil_parts:Own")
    written = tmp_path / "spec.yaml"
    written.write_text("kind: evil_parts:Own\n")
    with recorded(), pytest.raises(RecipeError, match="a recorded editor kind"):
        parse_spec(str(written), "editor").create("editor")
    assert not evil.exists()
    assert load("editor", "evil_parts:Own") is not None  # a user's own, named now
