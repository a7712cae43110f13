"""Recipes are read strictly, and an error names the place, the value and the fix."""

from pathlib import Path

import pytest

from editloop.errors import RecipeError
from editloop.loop.recipe import Recipe, override, read_recipe
from editloop.settings import Settings, read_yaml, validate

RECIPE = """
name: small
seed: 3
sources:
  - {kind: photos, size: 64}
train:
  - {name: plain, kind: pocket, steps: 10}
  - {name: reward, kind: pocket, steps: 20, reward: {score: true}}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_keeps_each_kinds_own_settings(tmp_path) -> None:
    recipe = read_recipe(write(tmp_path, RECIPE))
    assert [part.name for part in recipe.train] == ["plain", "reward"]
    assert recipe.sources[0].name == "photos"
    assert recipe.train[1].own == {"steps": 20, "reward": {"score": True}}


def test_an_unknown_key_names_the_nearest_known_one(tmp_path) -> None:
    with pytest.raises(RecipeError, match=r"(?s)unknown key: trian.*did you mean 'train'"):
        read_recipe(write(tmp_path, "name: x\ntrian: []\n"))


def test_what_a_validator_says_comes_without_pydantics_words() -> None:
    twice = {"name": "x", "train": [{"kind": "pocket"}] * 2}
    with pytest.raises(RecipeError, match=r"^r: settings: train has two parts named 'pocket'"):
        validate(Recipe, twice, where="r")


def test_a_key_given_twice_is_refused_with_its_line(tmp_path) -> None:
    with pytest.raises(RecipeError, match=r"recipe\.yaml:3: duplicate key: name"):
        read_recipe(write(tmp_path, "name: x\nseed: 1\nname: y\n"))


def test_broken_yaml_names_the_line(tmp_path) -> None:
    with pytest.raises(RecipeError, match="line 2"):
        read_yaml(write(tmp_path, "name: x\nseed: [1\n"))


def test_a_tag_that_runs_code_is_refused(tmp_path) -> None:
    with pytest.raises(RecipeError, match="could not determine a constructor"):
        read_yaml(write(tmp_path, "name: !!python/object/apply:os.getcwd []\n"))


@pytest.mark.parametrize("text", ["", "- 1\n", "just words"])
def test_a_file_without_a_mapping_is_refused(tmp_path, text) -> None:
    with pytest.raises(RecipeError, match="must contain a mapping"):
        read_yaml(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(RecipeError, match=r"No such file.*absent\.yaml"):
        read_yaml(tmp_path / "absent.yaml")


def test_a_file_that_is_no_text_is_told_so(tmp_path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"name: \xff")
    with pytest.raises(RecipeError, match="not UTF-8"):
        read_yaml(path)


def test_two_parts_of_one_name_are_refused(tmp_path) -> None:
    with pytest.raises(RecipeError, match="two parts named 'pocket'"):
        read_recipe(write(tmp_path, "name: x\ntrain: [{kind: pocket}, {kind: pocket}]\n"))


def test_overrides_go_in_by_the_parts_name(tmp_path) -> None:
    recipe = read_recipe(
        write(tmp_path, RECIPE),
        ["train.reward.steps=5", "seed=9", "train.reward.reward.score=false"],
    )
    assert recipe.train[0].own["steps"] == 10
    assert recipe.train[1].own == {"steps": 5, "reward": {"score": False}}
    assert recipe.seed == 9


def test_an_override_of_an_unknown_part_is_refused() -> None:
    content = {"train": [{"kind": "pocket", "name": "reward"}]}
    with pytest.raises(RecipeError, match="did you mean 'reward'"):
        override(content, "train.rewrad.steps=1")


@pytest.mark.parametrize("text", ["steps", "=3"])
def test_an_override_without_key_or_value_is_refused(text) -> None:
    with pytest.raises(RecipeError, match="KEY=VALUE"):
        override({}, text)


@pytest.mark.parametrize("value", ["nan", "inf", float("-inf")])
def test_numbers_that_are_none_are_refused(value) -> None:
    class Own(Settings):
        scale: float = 1.0

    with pytest.raises(RecipeError, match="scale: Input should be a finite number"):
        validate(Own, {"scale": value}, where="own")
