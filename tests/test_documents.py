"""Every command and recipe in the README and the docs works as written.

Runs are made small by overrides, which come last and so win; everything else is typed as written.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from document_blocks import ROOT, blocks, write_files
from editloop.cli import app
from editloop.evaluation.protocol.card import Protocol
from editloop.kernel.sample_prompts import read_sample_prompt
from editloop.kernel.steps import Keep
from editloop.loop import run as loop
from editloop.loop.recipe import Recipe, read_recipe
from editloop.loop.shipped import shipped_recipe, shipped_recipes
from editloop.registry import parse_spec
from editloop.settings import read_yaml as read_yaml_file
from editloop.settings import validate
from editloop.sources.photos import PhotosSource
from layout_folders import png
from magicbrush_data import make_outputs, make_split
from own_data import make_own_data
from published_folders import hq_edit_rows, web_dataset
from tiny_baselines import save_stable_diffusion
from tiny_pipelines import tiny_unet

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MAKE = {
    "make demo": "editloop run quickstart --out runs/quickstart",
    "make check": None,
    "make test": None,
}
SERVED = re.compile(r"http://127\.0\.0\.1:801[01]/v1")  # the addresses of the documents' servers
STEPS = 2  # of each training
TINY = [f"steps={STEPS}", "batch=2", "size=32", "samples=1"]  # of a published model's


def small(recipe: str) -> list[str]:
    """Return overrides that make a recipe cheap to run."""
    settings = read_recipe(recipe)
    sets = [f"train.{part.name}.steps={STEPS}" for part in settings.train]
    for part in settings.sources:
        if part.kind == "photos":
            counts = {"train": 24, "heldout": 9, "clean": 24}
            sets += [
                f"sources.{part.name}.{split}={count}"
                for split, count in counts.items()
                if part.own.get(split)
            ]
    return [word for text in sets for word in ("--set", text)]


def own_photos(folder: Path) -> None:
    """Create a folder of photos like a user's."""
    folder.mkdir()
    source = PhotosSource(PhotosSource.Settings(size=64, train=20, heldout=0))
    for index, outcome in enumerate(source.load(list(source.items()))):
        assert isinstance(outcome, Keep)
        (folder / f"{index}.png").write_bytes(outcome.samples[0].source.bytes)


def commands(document: Path) -> list[str]:
    joined = "\n".join(blocks("sh", document)).replace("\\\n", " ")
    return [line.partition("  #")[0].strip() for line in joined.splitlines() if line.strip()]


def arguments_of(command: str) -> list[str] | None:
    words = shlex.split(MAKE.get(command, command) or "")
    if not words:
        return None
    assert words[0] == "editloop", f"a command that no test runs: {command}"
    if words[1] == "run":
        words += small(words[2])
    if words[1] == "train" and "--dry-run" not in words:
        words += [word for text in TINY for word in ("--set", text)]
    return words[1:]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A folder with the files the documents assume; results of commands stay for later ones."""
    folder = tmp_path_factory.mktemp("workplace")
    own_photos(folder / "photos")
    make_split(folder / "MagicBrush/test")
    make_outputs(folder / "outputs")
    hq_edit_rows(folder / "HQ-Edit", 8)
    make_own_data(folder)
    pair = {"before.png": png(), "after.png": png(shade=2), "txt": "darken it"}
    web_dataset(folder / "shards/shard-000000.tar", [pair] * 3)
    save_stable_diffusion(folder / "stable-diffusion-v1-5/stable-diffusion-v1-5", tiny_unet())
    (folder / "docs").symlink_to(ROOT / "docs")
    write_files(folder, *DOCUMENTS)
    return folder


@pytest.fixture
def background() -> Iterator[list[subprocess.Popen[str]]]:
    """Run background commands, such as servers, until the end of the test."""
    running: list[subprocess.Popen[str]] = []
    yield running
    for each in running:
        each.terminate()
        each.communicate()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # as a user's process has them
@pytest.mark.timeout(900)
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_documents_commands_run(
    document: Path, workplace, background, monkeypatch, request
) -> None:
    """In this process, as each would start by importing the same; the first one is the README."""
    if document.stem == "scale":
        request.addfinalizer(pytest.importorskip("ray", reason="Ray is not installed").shutdown)
        monkeypatch.setenv("RAY_ADDRESS", "local")  # not the cluster of another test
    monkeypatch.chdir(workplace)
    monkeypatch.syspath_prepend(workplace)  # PYTHONPATH=., for the documents' own classes
    address = None
    if not (workplace / "runs/quickstart").exists():
        typed(arguments_of("make demo"))
    for command in commands(document):
        arguments = arguments_of(command.removesuffix(" &"))
        if arguments is None:
            continue
        if address is not None:
            arguments = asking(address, arguments)
        if command.endswith(" &"):
            address = served(arguments, background)
        else:
            typed(arguments)


def asking(address: str, arguments: list[str]) -> list[str]:
    """Return the arguments with this server's address, also in a copy of a shipped recipe."""
    words = [SERVED.sub(address, word) for word in arguments]
    if words[0] == "run" and words[1] in shipped_recipes():
        text = shipped_recipe(words[1]).decode()
        if SERVED.search(text):
            words[1] = f"served-{words[1]}.yaml"
            Path(words[1]).write_text(SERVED.sub(address, text))
    return words


def typed(arguments: list[str]) -> None:
    """Run a command to its end and check that it succeeds; `> FILE` takes its output."""
    into = Path(arguments[-1]) if arguments[-2:-1] == [">"] else None
    ended = CliRunner().invoke(app, arguments if into is None else arguments[:-2])
    assert ended.exit_code == 0, f"{arguments}\n{ended.output}\n{ended.exception!r}"
    if into is not None:
        into.write_bytes(ended.stdout_bytes)


def served(arguments: list[str], running: list[subprocess.Popen[str]]) -> str:
    """Start a server; returns the address that it prints."""
    words = [sys.executable, "-c", "from editloop.cli import main; main()", *arguments]
    words += ["--port", "0"]  # the port in the documents may be in use on this machine
    started = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    running.append(started)
    assert started.stdout is not None
    (address,) = re.findall(r"http\S+/v1", started.stdout.readline())
    return str(address)


def test_make_demo_is_what_the_documents_test_runs() -> None:
    assert f"$(BIN)/{MAKE['make demo']}\n" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_is_valid(name: str, tmp_path) -> None:
    recipe = read_recipe(name)
    assert recipe.name == name
    assert loop.dry_run(recipe, tmp_path)


@pytest.mark.parametrize("text", blocks("yaml", *DOCUMENTS))
def test_a_recipe_or_card_in_the_documents_is_valid(text: str, tmp_path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    content = read_yaml_file(path)
    if "kind" in content:
        assert parse_spec(content, "judge").create("judge").name
        return
    if "prompt" in content:
        assert read_sample_prompt(path).name
        return
    kind = Protocol if "benchmarks" in content else Recipe
    assert validate(kind, content, where="a document").name
