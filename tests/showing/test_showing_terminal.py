"""What comes from elsewhere commands no terminal: it is shown escaped wherever it is printed."""

import ast
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import editloop.cli
from editloop.cli import app, main
from editloop.showing.narrow import NarrowColumn, print_narrow
from editloop.showing.terminal import escape, say, visible
from editloop.storage.records import encode_record

SOURCE = Path(__file__).parents[2] / "src" / "editloop"
EVIL = "\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202etxt.exe\u2066[red]x"
SEEN = r"\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202etxt.exe\u2066[red]x"


def test_unseen_characters_are_escaped() -> None:
    assert visible(EVIL) == SEEN
    assert visible("\x00\x08\x7f\x85\u200b\u200f\u2028\u2069\ufeff\U000e0041\ud800") == (
        r"\x00\x08\x7f\x85\u200b\u200f\u2028\u2069\ufeff\U000e0041\ud800"
    )


@pytest.mark.parametrize(
    "text", ["two\nlines\tand a tab", "naïve 日本語 ‘x’", "👩‍🚀", "می‌خواهم", ""]
)
def test_texts_of_any_script_stay(text: str) -> None:
    assert visible(text) == text


def test_what_is_said_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    say(EVIL)
    say(Path("a\x1b"), err=True)
    found = capsys.readouterr()
    assert (found.out, found.err) == (f"{SEEN}\n", "a\\x1b\n")


def test_a_table_is_as_wide_as_its_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    print_narrow("t", NarrowColumn("editor", ["a\x1b[1m"]), [NarrowColumn("l1", ["\x1b" * 5])])
    found = capsys.readouterr().out
    assert r"a\x1b[1m" in found
    assert r"\x1b" * 5 in found


def clean(text: str) -> None:
    assert not set(EVIL) & set("\x1b\x07\r\x9b\u202e\u2066") & set(text)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder whose names and texts all carry escapes."""
    score = {"mean": 0.5, "low": 0.4, "high": 0.6, "count": 2, "coverage": 1.0}
    none = {"mean": None, "reason": EVIL, "command": EVIL}
    card = {
        **dict.fromkeys(("name", "version", "title", "source", "averaging"), EVIL),
        "fingerprint": EVIL,
        "whole": False,
        "given": {EVIL: 1},
        "published": {EVIL: 2},
    }
    editor = {"name": EVIL, "fingerprint": EVIL, "departs": {EVIL: {"given": EVIL, "card": EVIL}}}
    own = {"editors": [{**editor, "leftovers": {"count": 1, "first": [EVIL]}}], "protocol": card}
    results = {
        "recipe": EVIL,
        "build": {"splits": {EVIL: {"in": EVIL}}},
        "train": {EVIL: {"samples": EVIL, "precision": EVIL}},
        "evaluation": {EVIL: {EVIL: {EVIL: score, "l1": none}}, "x": {EVIL: {"l1": score}}},
        "benchmarks": {EVIL: own},
    }
    (tmp_path / "recipe.json").write_text(json.dumps({"name": "x"}))
    (tmp_path / "results.json").write_text(json.dumps(results))
    manifest = {"name": "x", "files": {f"{EVIL}.png": {"sha256": "", "bytes": 0}}}
    place = tmp_path / ".editloop/manifests/x.json"
    place.parent.mkdir(parents=True)
    place.write_bytes(encode_record({**manifest, "fingerprint": "", "facts": {}}))
    return tmp_path


@pytest.mark.parametrize("command", ["show", "verify"])
def test_a_run_folder_commands_no_terminal(run: Path, command: str) -> None:
    output = CliRunner().invoke(app, [command, str(run)]).output
    clean(output)
    assert r"\x1b]0;" in output
    assert "[red]" in output.replace("\n", "").replace(" ", "")


ARGUMENTS = {
    "an error": ["show", EVIL],
    "a picture's name": ["edit", f"{EVIL}.png", "make it sepia"],
    "a data set": ["import", "metadata", EVIL, "--out", "x"],
    "an instruction": ["edit", str(Path(__file__)), EVIL],
}


@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)
def test_errors_command_no_terminal(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["editloop", *arguments])
    with pytest.raises(SystemExit):
        main()
    found = capsys.readouterr()
    clean(found.out + found.err)


def test_a_fault_of_ours_that_quotes_a_text_commands_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise ValueError(EVIL)

    monkeypatch.setattr(editloop.cli, "app", broken)
    with pytest.raises(SystemExit):
        main()
    printed = capsys.readouterr().err
    clean(printed)
    assert f"ValueError: {SEEN}\n" in printed


@pytest.mark.slow
def test_there_is_one_way_to_the_terminal() -> None:
    """Prints and rich's markup go through `showing/terminal.py`, which escapes."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "rich.markup":
                found.add(path.relative_to(SOURCE).as_posix())
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "typer.echo"):
                found.add(path.relative_to(SOURCE).as_posix())
    assert found == {"showing/terminal.py"}
    assert escape("[red]\x1b") == r"\[red]\x1b"
