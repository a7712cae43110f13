"""Unfinished trainings that go on at a lower rate, without a new version."""

import pytest

import loop_parts
from editloop.errors import ChangedError
from editloop.loop import run as loop
from editloop.loop.recipe import Recipe


def recipe(**settings):
    part = {"kind": "loop_parts:Slowing", "name": "small", **settings}
    source = {"kind": "photos", "size": 48, "train": 4, "heldout": 0}
    return Recipe.model_validate(
        {"name": "tiny", "sources": [source], "build": [{"kind": "darkroom"}], "train": [part]}
    )


@pytest.fixture
def stopped(tmp_path):
    """A run whose training was stopped at the rate 0.1."""
    with pytest.raises(KeyboardInterrupt):
        loop.run(recipe(learning_rate=0.1, interrupt=True), tmp_path, workers=1)
    return tmp_path


def test_an_unfinished_training_goes_on_with_its_work_at_a_lower_rate(stopped) -> None:
    lower = recipe(learning_rate=0.05)
    loop.check(lower, stopped, only=["train"])
    found = loop.run(lower, stopped, workers=1)
    assert found["train"]["small"] == {"resumed": True, "learning_rate": 0.05}


def test_a_move_that_was_interrupted_is_repeated(stopped, monkeypatch) -> None:
    lower = recipe(learning_rate=0.05)
    with monkeypatch.context() as patch:
        patch.setattr("editloop.storage.versions.write_record", loop_parts.interrupted)
        with pytest.raises(KeyboardInterrupt):
            loop.run(lower, stopped, workers=1, only=["train"])
    assert loop.run(lower, stopped, workers=1)["train"]["small"]["resumed"]


@pytest.mark.parametrize("changes", [{"learning_rate": 0.2}, {"learning_rate": 0.05, "steps": 2}])
def test_any_other_change_needs_a_new_version(stopped, changes) -> None:
    changed = recipe(**{"learning_rate": 0.1, **changes})
    with pytest.raises(ChangedError, match=r"parameters\.learning_rate: 0\.1 -> "):
        loop.run(changed, stopped, workers=1)
    found = loop.run(changed, stopped, workers=1, new_version=True)
    assert not found["train"]["small"]["resumed"]


def test_work_of_an_older_version_of_the_training_is_refused_with_what_to_do(
    stopped, monkeypatch
) -> None:
    monkeypatch.setattr(loop_parts.Slowing, "version", "2")
    told = r"(?s)version: 1 -> 2.*finish it with the EditLoop that began it.*--new-version"
    with pytest.raises(ChangedError, match=told):
        loop.run(recipe(learning_rate=0.05), stopped, workers=1)


def test_a_new_version_at_a_lower_rate_starts_from_the_beginning(stopped) -> None:
    found = loop.run(recipe(learning_rate=0.05), stopped, workers=1, new_version=True)
    assert not found["train"]["small"]["resumed"]


def test_a_finished_training_is_not_replaced_without_a_new_version(stopped) -> None:
    loop.run(recipe(learning_rate=0.1), stopped, workers=1)
    with pytest.raises(ChangedError, match=r"learning_rate: 0\.1 -> 0\.05"):
        loop.run(recipe(learning_rate=0.05), stopped, workers=1)
