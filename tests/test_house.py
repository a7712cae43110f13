"""House rules: the order of imports, declared names, documented commands."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

import editloop
from editloop.cli import app
from editloop.kernel.worker import run_shard

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "editloop"
ROOTS = {"errors", "schema", "settings", "registry"}  # what every room may import
TOP = {"cli", "__main__", "__init__"}  # they list the commands and the public functions
ORDER = [
    "runtime", "statistics", "storage", "images", "hub", "chat", "kernel", "loop",
    "sources", "darkroom", "metrics", "showing", "rating", "models", "filters", "judges",
    "training", "editors", "generation", "quality", "evaluation", "studies", "publishing",
    "studio", "commands",
]  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.startswith("editloop.")}


@pytest.mark.slow
def test_imports_run_one_way() -> None:
    wrong = []
    for path in MODULES:
        own = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if own in TOP:
            continue
        allowed = set() if own in ROOTS else {*ORDER[: ORDER.index(own) + 1]}
        rooms = {name.split(".")[1] for name in imports_of(path)} & set(ORDER)
        wrong += [f"{name_of(path)} imports {room}" for room in sorted(rooms - allowed)]
    assert wrong == []


def test_every_room_is_in_the_order() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms <= set(ORDER)
    assert {path.stem for path in PACKAGE.glob("*.py")} == ROOTS | TOP


def test_all_names_what_a_module_defines() -> None:
    wrong = []
    for path in MODULES:
        if path.name == "__init__.py":
            continue
        module = importlib.import_module(name_of(path))
        public = {
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
        }
        wrong += [f"{name_of(path)}: {name}" for name in sorted(public - set(module.__all__))]
        wrong += [
            f"{name_of(path)}: {n} is not there" for n in module.__all__ if not hasattr(module, n)
        ]
    assert wrong == []


@pytest.mark.slow
def test_the_module_that_workers_preload_is_there() -> None:
    """A fork server ignores a missing module name, and then every worker imports everything."""
    found = [
        node.args[0]
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "set_forkserver_preload"
    ]
    names = [ast.literal_eval(each) for each in found]
    assert names == [[run_shard.__module__]]


def test_every_public_name_of_the_package_loads() -> None:
    assert set(editloop.__all__) == set(editloop._HOME) == set(dir(editloop))
    for name in editloop.__all__:
        assert getattr(editloop, name) is not None


def test_every_room_says_what_it_is_for_and_what_may_enter() -> None:
    for path in PACKAGE.glob("*/**/__init__.py"):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert text, path
        assert "What may enter: " in text, path


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["edit", "--help"]])
def test_help_answers_at_once(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['editloop', *{arguments!r}]\n"
        "from editloop.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'numpy', 'torch', 'cv2', 'pyarrow', 'PIL', 'diffusers', 'skimage'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert answer.rstrip().endswith("LOADED []")


def test_every_command_is_documented() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    commands = typer.main.get_command(app).commands
    assert [name for name in commands if f"editloop {name}" not in text] == []
