"""SPECs and kinds: names are resolved, or the closest known name is suggested."""

import pytest

from editloop.errors import RecipeError
from editloop.registry import BUILT_IN, Spec, create, kinds, load, parse_spec, settings_of
from editloop.settings import Settings


class Sample:
    """A user's own kind."""

    class Settings(Settings):
        steps: int = 1

    def __init__(self, settings) -> None:
        self.steps = settings.steps


OWN = f"{__name__}:Sample"


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("copy", Spec("copy", "copy")),
        ("recorded:outputs/", Spec("recorded:outputs/", "recorded", {"target": "outputs/"})),
        (
            "reward-5=diffusion:models/reward?reward=5,5,5&steps=4",
            Spec(
                "reward-5",
                "diffusion",
                {"target": "models/reward", "reward": "5,5,5", "steps": "4"},
            ),
        ),
        (
            "vlm:M?base_url=http://127.0.0.1:8000/v1",
            Spec("vlm:M", "vlm", {"target": "M", "base_url": "http://127.0.0.1:8000/v1"}),
        ),
        ("timbrooks/instruct-pix2pix", Spec("timbrooks/instruct-pix2pix", "diffusion",
                                            {"target": "timbrooks/instruct-pix2pix"})),
        ("runs/x/models/y?steps=2", Spec("runs/x/models/y", "diffusion",
                                           {"target": "runs/x/models/y", "steps": "2"})),
        ("model.safetensors", Spec("model.safetensors", "diffusion",
                                   {"target": "model.safetensors"})),
        ("~/a.ckpt", Spec("~/a.ckpt", "diffusion", {"target": "~/a.ckpt"})),
        ("sdxl:a/b", Spec("sdxl:a/b", "sdxl", {"target": "a/b"})),
        ("mine=python:package.module:Class", Spec("mine", "package.module:Class")),
        ({"kind": "copy", "name": "c", "x": 1}, Spec("c", "copy", {"x": 1})),
    ],
)  # fmt: skip
def test_a_spec_is_read(text, spec) -> None:
    assert parse_spec(text, "editor") == spec


def test_a_bare_folder_is_a_diffusion_editor(tmp_path) -> None:
    assert parse_spec(str(tmp_path), "editor").kind == "diffusion"


@pytest.mark.parametrize("text", ["", "?a=1", {"name": "x"}])
def test_a_spec_without_a_kind_is_refused(text) -> None:
    with pytest.raises(RecipeError, match="has no kind"):
        parse_spec(text, "editor")


def test_a_setting_without_a_value_is_refused() -> None:
    with pytest.raises(RecipeError, match="steps=VALUE"):
        parse_spec("copy?steps", "editor")


def test_an_unknown_kind_offers_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'photos'"):
        load("source", "photo")


def test_a_users_class_is_made_with_checked_settings() -> None:
    assert create("editor", OWN, {"steps": "3"}).steps == 3


def test_an_unknown_setting_of_a_kind_is_refused() -> None:
    with pytest.raises(RecipeError, match="did you mean 'steps'"):
        create("editor", OWN, {"step": 3})


def test_a_users_class_that_is_not_there_is_named() -> None:
    with pytest.raises(RecipeError, match="no_such_module:Class"):
        load("editor", "no_such_module:Class")


@pytest.mark.parametrize("group", sorted(BUILT_IN))
def test_every_built_in_kind_loads(group) -> None:
    for kind in kinds(group):
        assert settings_of(group, kind)


def test_a_users_class_needs_no_prefix_and_no_settings() -> None:
    assert parse_spec("mine=package.module:Class", "editor").kind == "package.module:Class"
    spec = parse_spec("collections.abc:Hashable", "editor")
    assert (spec.kind, spec.settings) == ("collections.abc:Hashable", {})
    assert create("editor", "collections:OrderedDict", {}) == {}
    with pytest.raises(RecipeError, match="takes no settings"):
        create("editor", "collections:OrderedDict", {"a": 1})


def test_the_settings_of_a_kind_are_those_of_its_class_or_none() -> None:
    assert "steps" in settings_of("editor", OWN).model_fields
    assert settings_of("editor", "collections:OrderedDict").model_fields == {}


class Needy:
    """A class without settings that needs an argument."""

    def __init__(self, folder) -> None:
        self.folder = folder


def a_function() -> None:
    """A function, not a class."""


def test_a_class_that_cannot_be_made_of_nothing_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"(?s)must take no arguments.*missing.*folder"):
        create("editor", f"{__name__}:Needy", {})


def test_a_kind_that_is_no_class_is_refused() -> None:
    with pytest.raises(RecipeError, match="a kind must be a class"):
        load("editor", f"{__name__}:a_function")


def test_a_users_own_kind_may_be_spelt_as_in_a_spec() -> None:
    assert load("editor", f"python:{OWN}") is load("editor", OWN) is Sample
