"""Shipped recipes are listed, printed, read and run by name; a path is a user's own recipe."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import editloop
from editloop.cli import app
from editloop.errors import RecipeError
from editloop.loop.recipe import read_recipe
from editloop.loop.shipped import shipped_recipe, shipped_recipes
from editloop.training.train import training_recipe

FOLDER = Path(editloop.__file__).parent / "recipes"
WIDTH = 47  # of a title beside its name, in a table of 80 columns


def test_every_recipe_of_the_package_is_listed() -> None:
    assert list(shipped_recipes()) == sorted(path.stem for path in FOLDER.iterdir())


@pytest.mark.parametrize(("name", "title"), shipped_recipes().items())
def test_a_title_is_one_sentence_that_fits_a_line(name, title) -> None:
    assert title.endswith((".", "?"))
    assert len(title) <= WIDTH
    assert shipped_recipe(name).startswith(b"# " + title.encode())


def test_the_command_lists_each_recipe_with_its_title() -> None:
    ended = CliRunner().invoke(app, ["recipes"])
    for name, title in shipped_recipes().items():
        (line,) = (line for line in ended.stdout.splitlines() if line.split()[:1] == [name])
        assert title in line


def test_the_command_prints_a_recipe_byte_for_byte() -> None:
    ended = CliRunner().invoke(app, ["recipes", "quickstart"])
    assert ended.stdout_bytes == (FOLDER / "quickstart.yaml").read_bytes()


def test_a_name_reads_the_shipped_recipe_and_takes_overrides() -> None:
    recipe = read_recipe("quickstart", ["seed=7"])
    assert (recipe.name, recipe.seed) == ("quickstart", 7)


def test_a_copy_is_the_same_recipe(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(shipped_recipe("quickstart"))
    assert read_recipe(path) == read_recipe(str(path)) == read_recipe("quickstart")


def test_a_training_takes_a_shipped_recipe() -> None:
    made = training_recipe("train-magicbrush", steps=3)
    assert made.train[0].own["steps"] == 3


def test_an_unknown_name_gives_the_nearest_one(tmp_path) -> None:
    pattern = r"(?s)unknown recipe: quikstart.*did you mean 'quickstart'.*your own is a \.yaml file"
    with pytest.raises(RecipeError, match=pattern):
        read_recipe("quikstart")
    with pytest.raises(RecipeError, match=pattern):
        shipped_recipe("quikstart")
    with pytest.raises(RecipeError, match=pattern):
        editloop.run("quikstart", tmp_path)


@pytest.mark.parametrize("name", ["", ".", "..", "quickstart.txt"])
def test_what_is_neither_a_name_nor_a_yaml_file_is_refused(name) -> None:
    with pytest.raises(RecipeError, match="unknown recipe"):
        read_recipe(name)


def test_a_name_that_is_also_a_file_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("quickstart").write_text("name: own\n")
    with pytest.raises(RecipeError, match=r"(?s)could be .*quickstart.*\./quickstart .*\.yaml$"):
        read_recipe("quickstart")
    assert read_recipe("./quickstart").name == "own"
    assert read_recipe(Path("quickstart")).name == "own"


def test_a_folder_does_not_hide_a_recipe(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("quickstart").mkdir()
    assert read_recipe("quickstart").name == "quickstart"


@pytest.mark.parametrize("path", ["quickstart.yaml", "recipes/quickstart.yaml"])
def test_the_path_of_no_file_gives_the_shipped_recipes_name(path, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=r"(?s)no such file.*write quickstart for the shipped"):
        read_recipe(path)


def test_a_file_named_like_a_shipped_recipe_is_read(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("quickstart.yaml").write_text("name: own\n")
    assert read_recipe("quickstart.yaml").name == "own"
