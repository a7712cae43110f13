"""The shipped recipes that train published models: the values of their papers and scripts."""

import pytest

from editloop.loop.recipe import read_recipe
from editloop.settings import validate
from editloop.training.diffusion_settings import DiffusionTrainingSettings

VALUES = {
    "train-magicbrush": {"learning_rate": 5e-5, "warm_up": 1000, "schedule": "constant"},
    "train-ultra-edit": {
        "soft_masks": (0.2, 0.8),
        "data": ("data/ultra-edit-region", "data/ultra-edit-free-form"),
        "conditions": ("source", "mask"),
    },
    "train-ultra-edit-sd3": {
        "flow_loss": "x0",
        "timesteps": "logit-normal",
        "learning_rate": 1e-5,
        "warm_up": 500,
        "average": None,
    },
    "train-flux-kontext": {"timesteps": "uniform", "guidance": 1.0, "flip": False},
}


@pytest.mark.parametrize("name", VALUES)
def test_a_recipe_has_the_values_of_its_source(name) -> None:
    (part,) = read_recipe(name).train
    settings = validate(DiffusionTrainingSettings, part.own, where=name)
    assert {key: getattr(settings, key) for key in VALUES[name]} == VALUES[name]
