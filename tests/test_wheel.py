"""The built wheel has all files of the package and runs in an empty folder, without the source."""

import os
import site
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "src/editloop"
SMALL = ["sources.photos.train=12", "sources.photos.heldout=6"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel; without hatchling here, pip gets it from the package registry."""
    folder = tmp_path_factory.mktemp("wheel")
    isolation = ["--no-build-isolation"] if find_spec("hatchling") else []
    pip("wheel", "--no-deps", *isolation, "--wheel-dir", folder, ROOT)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--no-compile", "--target", folder, wheel)
    return folder


def pip(*arguments: str | Path) -> None:
    words = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *map(str, arguments)]
    subprocess.run(words, check=True, cwd=ROOT)


def output(installed: Path, cwd: Path, *arguments: str | Path) -> bytes:
    """Run Python in `cwd` with the installed package and this environment's other packages.

    Without the module `site`, an editable install of the source is not found.
    """
    users = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    paths = [str(installed), *site.getsitepackages(), *users]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    words = [sys.executable, "-S", *map(str, arguments)]
    done = subprocess.run(words, cwd=cwd, env=environment, stdout=subprocess.PIPE, check=True)
    return done.stdout


def editloop(installed: Path, cwd: Path, *arguments: str) -> bytes:
    return output(installed, cwd, installed / "bin/editloop", *arguments)


def test_the_wheel_holds_every_file_of_the_package(wheel) -> None:
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", PACKAGE]
    listed = subprocess.run(listing, cwd=ROOT, text=True, capture_output=True, check=True).stdout
    files = {path.removeprefix("src/") for path in listed.splitlines() if (ROOT / path).exists()}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == files
    assert "editloop/recipes/quickstart.yaml" in held
    assert "editloop/py.typed" in held


def test_the_source_tree_is_not_used(installed, tmp_path) -> None:
    code = "import editloop; print(editloop.__file__)"
    found = output(installed, tmp_path, "-c", code).decode().strip()
    assert Path(found) == installed / "editloop/__init__.py"


def test_recipes_are_listed_and_copied(installed, tmp_path) -> None:
    assert b"quickstart" in editloop(installed, tmp_path, "recipes")
    copied = editloop(installed, tmp_path, "recipes", "quickstart")
    assert copied == (ROOT / PACKAGE / "recipes/quickstart.yaml").read_bytes()
    (tmp_path / "mine.yaml").write_bytes(copied)
    assert b"train.reward" in editloop(installed, tmp_path, "run", "mine.yaml", "--dry-run")


def test_data_is_built_by_a_shipped_recipe(installed, tmp_path) -> None:
    sets = [word for text in SMALL for word in ("--set", text)]
    parts = ["--only", "sources", "--only", "build", "--only", "report"]
    editloop(installed, tmp_path, "run", "quickstart", "--out", "out", *parts, *sets)
    splits = {path.name.partition("-")[0] for path in (tmp_path / "out/data").glob("*.parquet")}
    assert splits == {"train", "heldout"}
    assert (tmp_path / "out/report.html").exists()
