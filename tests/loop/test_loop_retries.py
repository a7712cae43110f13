"""The entry `retry` of a recipe: its two forms, overrides within it, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from editloop.errors import RecipeError
from editloop.loop.build_steps import build_specs
from editloop.loop.recipe import Recipe, read_recipe
from editloop.settings import validate

STEPS = [{"kind": "edit", "editor": "copy"}, {"kind": "verify"}]
SHORT = {"retry": {"times": 1, "steps": STEPS}}
LONG = {"kind": "retry", "times": 1, "steps": STEPS}


def recipe(*build: Any) -> Recipe:
    return validate(Recipe, {"name": "r", "build": list(build)}, where="r")


def names(read: Recipe) -> list[str]:
    return [spec.name for spec in build_specs(read)[1]]


def test_both_forms_are_unrolled_alike() -> None:
    expected = [f"retry.{at}.{name}" for at in (1, 2) for name in ("edit", "verify", "end")]
    assert names(recipe(SHORT)) == names(recipe(LONG)) == expected
    assert [spec.kind for spec in build_specs(recipe(SHORT))[1]][:3] == [
        "retry-step", "retry-step", "retry-end"
    ]  # fmt: skip
    named = {**SHORT, "name": "again"}
    assert names(recipe(named, {"kind": "moderate"}))[-2:] == ["again.2.end", "moderate"]
    assert all(spec.create() for spec in build_specs(recipe(SHORT))[1])


@pytest.mark.parametrize("form", [SHORT, LONG])
def test_settings_within_it_are_overridden_by_name(tmp_path: Path, form: dict[str, Any]) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump({"name": "r", "build": [form]}))
    sets = ["build.retry.times=2", "build.retry.steps.edit.candidates=4"]
    steps = build_specs(read_recipe(path, sets))[1]
    assert len(steps) == 9
    assert steps[0].settings["step"]["settings"] == {"editor": "copy", "candidates": 4}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"times": 0}, "times"),
        ({"times": "often"}, "times"),
        ({"steps": []}, "steps"),
        ({"tims": 1}, "unknown key"),
        ({"steps": [{"kind": "gather"}]}, "'gather' cannot be within a retry"),
        ({"steps": [SHORT]}, "'retry' cannot be within a retry"),
        ({"steps": [STEPS[0], STEPS[0]]}, "two steps are named 'edit'"),
    ],
)
def test_what_cannot_be_unrolled_is_refused_when_it_is_read(
    change: dict[str, Any], words: str
) -> None:
    with pytest.raises(RecipeError, match=words):
        recipe({**LONG, **change})


def test_a_step_with_wrong_settings_is_refused_as_outside_of_it() -> None:
    (spec, *_) = build_specs(recipe({**LONG, "steps": [{"kind": "verify", "gatess": []}]}))[1]
    with pytest.raises(RecipeError, match="unknown key"):
        spec.create()
