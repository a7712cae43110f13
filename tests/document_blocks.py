"""The fenced blocks of the documents, and the files that some of them contain.

A block whose first line is a comment with a file name, such as `# my_step.py`, is that file.
"""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w-]+\.\w+)\n")


def blocks(language: str, *documents: Path) -> list[str]:
    """Return the text of every block in a language."""
    return [text for found, text in _all_blocks(documents) if found == language]


def write_files(folder: Path, *documents: Path) -> None:
    """Write the files that the documents contain into a folder; no two have the same name."""
    for _, text in _all_blocks(documents):
        if named := _FILE.match(text):
            with (folder / named[1]).open("x", encoding="utf-8") as file:
                file.write(text)


def _all_blocks(documents: tuple[Path, ...]) -> Iterator[tuple[str, str]]:
    for path in documents:
        yield from _BLOCK.findall(path.read_text(encoding="utf-8"))
