"""What recipe a training is of."""

import pytest

from editloop.errors import RecipeError, StoreError, UnavailableError
from editloop.fine_tuning import train, training_recipe
from editloop.recipe import Recipe


def recipe():
    part = {
        "kind": "diffusion",
        "base": "any",
        "drop": {"text": 0.1, "reward": 0.2},
        "optimiser": {"weight_decay": 0.5},
    }
    return Recipe.model_validate({"name": "r", "train": [part, {"kind": "reward"}]})


def test_settings_replace_a_recipes_own_key_by_key() -> None:
    made, other = training_recipe(recipe(), steps=3, drop={"reward": 0.0}, lora=None).train
    assert made.own["drop"] == {"text": 0.1, "reward": 0.0}
    assert made.own["optimiser"] == {"weight_decay": 0.5}
    assert (made.own["steps"], made.own["lora"]) == (3, None)
    assert other == recipe().train[1]


def test_a_recipe_that_trains_nothing_is_refused() -> None:
    with pytest.raises(RecipeError, match="trains nothing"):
        training_recipe(Recipe.model_validate({"name": "r"}))


def test_an_absent_base_or_data_set_leaves_no_trace_in_the_run(tmp_path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UnavailableError, match="hf download"):
        train(out=out, base="nobody/nothing", data=str(tmp_path))
    with pytest.raises(StoreError, match="no whole data set"):
        train(out=out, base=str(tmp_path), data=str(tmp_path))
    assert not out.exists()
