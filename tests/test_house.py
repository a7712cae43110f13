"""The house stays in order: imports run one way, names are declared, commands are documented."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

import editloop
from editloop.cli import app

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "editloop"
ORDER = [
    "sources", "darkroom", "metrics", "models", "filters", "generation", "judges", "training",
    "editors", "evaluation", "rating", "publishing", "studio", "commands",
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


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_one_way(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0]
    allowed = ORDER[: ORDER.index(own) + 1] if own in ORDER else []
    if own == "cli.py":  # it names the commands, which call every room
        allowed = ORDER
    rooms = {name.split(".")[1] for name in imports_of(path)} & set(ORDER)
    assert rooms <= set(allowed), f"{name_of(path)} imports {sorted(rooms - set(allowed))}"


def test_every_room_is_in_the_order() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms <= set(ORDER)


@pytest.mark.parametrize("path", [p for p in MODULES if p.name != "__init__.py"], ids=name_of)
def test_all_names_what_a_module_defines(path: Path) -> None:
    module = importlib.import_module(name_of(path))
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }
    assert public <= set(module.__all__), f"not in __all__: {sorted(public - set(module.__all__))}"
    assert all(hasattr(module, name) for name in module.__all__)


def test_every_public_name_of_the_package_loads() -> None:
    assert set(editloop.__all__) == set(editloop._HOME) == set(dir(editloop))
    for name in editloop.__all__:
        assert getattr(editloop, name) is not None


def test_every_room_says_what_it_is_for() -> None:
    for path in PACKAGE.glob("*/**/__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


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
