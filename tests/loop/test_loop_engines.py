"""Where work runs: any engine, and what it lacks is said before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from editloop.cli import app
from editloop.errors import RecipeError, UnavailableError
from editloop.loop import run as loop
from editloop.loop.recipe import Recipe
from editloop.schema import readable_json
from editloop.settings import validate
from kernel_faults import published
from magicbrush_data import make_split


def recipe(*steps: dict[str, object]) -> Recipe:
    sources = [{"kind": "photos", "size": 48, "train": 3, "heldout": 0}]
    content = {"name": "engines", "sources": sources, "build": [{"kind": "darkroom"}, *steps]}
    return validate(Recipe, content, where="the test")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["threads", "in-process"])
def test_a_recipe_is_built_by_any_engine(tmp_path: Path, engine: str) -> None:
    made = []
    for name in ("processes", engine):
        loop.run(recipe(), tmp_path / name, only=["build"], workers=1, engine=name)
        files = published(tmp_path / name)
        made.append({path: digest for path, digest in files.items() if path.startswith("data/")})
    assert made[0] == made[1] != {}


@pytest.mark.parametrize("command", ["run", "import", "judge", "evaluate", "measure"])
def test_each_command_with_workers_takes_an_engine(tmp_path: Path, command: str) -> None:
    data = tmp_path / "MagicBrush/test"
    make_split(data)
    (tmp_path / "recipe.yaml").write_text(readable_json(recipe().model_dump(mode="json")).decode())
    words = {
        "run": [str(tmp_path / "recipe.yaml")],
        "import": ["magicbrush", str(data)],
        "judge": [str(data), "--judge", "truth"],
        "evaluate": ["--protocol", "magicbrush", "--data", str(data), "--editor", "copy"],
        "measure": [str(data), "--metrics", "pixels:l1"],
    }[command]
    ended = CliRunner().invoke(
        app, [command, *words, "--out", str(tmp_path / "out"), "--engine", "thread"]
    )
    assert isinstance(ended.exception, RecipeError)
    assert "unknown engine kind: thread" in str(ended.exception)
    assert not (tmp_path / "out").exists()


def test_an_unknown_engine_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown engine kind: thread"):
        loop.run(recipe(), tmp_path / "out", engine="thread")
    assert not (tmp_path / "out").exists()


def test_a_gpu_that_is_not_there_is_reported_by_a_dry_run_too(tmp_path: Path) -> None:
    needy = {"name": "big", "kind": "kernel_parts:LoggedStep", "log": "log", "gpus": 64}
    for call in (loop.check, loop.run):
        with pytest.raises(UnavailableError, match=r"big needs 64 GPU\(s\)"):
            call(recipe(needy), tmp_path / "out")
    assert not (tmp_path / "out").exists()
