"""The layout `folders`: pictures before and after, in two folders or by two endings of their names.

Pictures of one edit have the same name without its suffix, below their folders. Further folders of
the source (`control_2`), and further pictures of one name (`a_0.png`, `a_1.png`), are references.
The instruction is in a `.txt` of that name beside the picture after or before, or in a folder of
texts, or in the one table of the folder.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from pydantic import Field

from editloop.errors import EditLoopError
from editloop.hub.datasets import uri_of
from editloop.schema import EditSample, Provenance
from editloop.settings import Settings
from editloop.sources.captions import read_side_car
from editloop.sources.entries import BLANK, Entry, Problem
from editloop.sources.files import EXTENSIONS, relative
from editloop.sources.folder_instructions import instruction_tables, instructions_in
from editloop.sources.listed import ListedIndex

__all__ = ["FoldersSettings", "folders_index"]

# The usual names of folders, and endings of names in one folder (`a_start.png`, `a_end.png`).
_NAMES: Mapping[str, tuple[str, ...]] = {
    "before": (
        *("before", "source", "sources", "src", "input", "inputs", "original", "originals"),
        *("start", "control", "controls", "control_images", "conditioning", "conditioning_images"),
        *("traina", "a"),
    ),
    "after": (
        *("after", "target", "targets", "tgt", "output", "outputs", "edited", "edits", "result"),
        *("results", "end", "images", "image", "img", "dataset", "trainb", "b"),
    ),
    "mask": ("mask", "masks"),
    "text": ("instructions", "instruction", "captions", "prompts", "texts"),
}
_NUMBERED = re.compile(r"(?P<name>.+?)[_-]?(?P<number>\d+)")


class FoldersSettings(Settings):
    """The folders of the pictures, where their names are not the usual ones."""

    before: str | None = Field(default=None, description="the folder of the sources")
    after: str | None = Field(default=None, description="the folder of the targets")
    mask: str | None = Field(default=None, description="the folder of the masks")


@dataclass
class _Edit:
    """The files of one edit by their part: before, after, mask, text, and references."""

    files: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))


def folders_index(
    folder: Path, before: str | None, after: str | None, mask: str | None
) -> ListedIndex:
    """Return the index of the layout `folders`."""
    chosen = {"before": before, "after": after, "mask": mask}
    listings = [*instruction_tables(folder), *sorted(folder.rglob("*.txt"))]
    entries = partial(_entries, folder, {key: each for key, each in chosen.items() if each})
    return ListedIndex("folders", "1", folder, entries, index_files=listings)


def _entries(folder: Path, chosen: Mapping[str, str]) -> Iterator[Entry | Problem]:
    parts = _parts(folder, chosen)
    if isinstance(parts, Problem):
        yield parts
        return
    edits = _in_folders(parts) if parts else _by_endings(folder)
    if not any(edit.files["before"] and edit.files["after"] for edit in edits.values()):
        yield _unknown(folder)
        return
    try:
        told = instructions_in(folder)
    except EditLoopError as error:
        yield Problem(str(folder), error.cause, error.fix or "correct the table of instructions")
        return
    for name, edit in sorted(edits.items()):
        yield _entry(name, edit, told, folder)


def _parts(folder: Path, chosen: Mapping[str, str]) -> dict[str, list[Path]] | Problem:
    """Return the folders of each part; empty if there are none of the usual names."""
    below = sorted(path for path in folder.iterdir() if path.is_dir())
    parts: dict[str, list[Path]] = {}
    for part, names in _NAMES.items():
        if part in chosen:
            own = folder / chosen[part]
            if not own.is_dir():
                known = ", ".join(path.name for path in below)
                return Problem(str(own), f"there is no folder {part}", f"its folders: {known}")
            parts[part] = [own]
            continue
        taken = {path for paths in parts.values() for path in paths}
        taken |= {folder / each for each in chosen.values()}
        found = [path for path in below if path not in taken and _usual(path.name, names)]
        if len({_plain(path.name) for path in found}) > 1:
            listed = ", ".join(path.name for path in found)
            fix = f"name it: folders?before=FOLDER&after=FOLDER (it has {listed})"
            return Problem(str(folder), f"several folders may be the {part}", fix)
        if found:
            parts[part] = found
    return parts if "before" in parts and "after" in parts else {}


def _plain(name: str) -> str:
    numbered = _NUMBERED.fullmatch(name.lower())
    return numbered["name"] if numbered else name.lower()


def _usual(name: str, names: tuple[str, ...]) -> bool:
    return name.lower() in names or _plain(name) in names


def _in_folders(parts: Mapping[str, list[Path]]) -> dict[str, _Edit]:
    """Return the edits by name: the path of their pictures within their folders."""
    edits: dict[str, _Edit] = defaultdict(_Edit)
    for part in ("after", "before", "mask", "text"):
        for at, place in enumerate(parts.get(part, ())):
            own = part if at == 0 else "reference"
            for path in _files(place):
                name = path.relative_to(place).with_suffix("").as_posix()
                numbered = _NUMBERED.fullmatch(name)
                first = numbered["name"] if numbered else name
                if own == "before" and name not in edits and first in edits:  # a_0 and a_1 of a
                    own_part = "reference" if edits[first].files["before"] else "before"
                    edits[first].files[own_part].append(path)
                elif part in ("after", "before") and path.suffix.lower() == ".txt":
                    edits[name].files["text"].append(path)
                else:
                    edits[name].files[own].append(path)
    return edits


def _by_endings(folder: Path) -> dict[str, _Edit]:
    """Return the edits of one folder by name: `a_start.png`, `a_end.png`, `a.txt`."""
    edits: dict[str, _Edit] = defaultdict(_Edit)
    texts = []
    for path in _files(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        stem, mark, ending = name.rpartition("_") if "_" in name else name.rpartition("-")
        part = next((each for each in _NAMES if mark and _usual(ending, _NAMES[each])), None)
        if path.suffix.lower() == ".txt":
            texts.append((name, path))
        elif part is not None:
            further = part == "before" and ending.lower() not in _NAMES["before"]
            edits[stem].files["reference" if further else part].append(path)
    for name, path in texts:
        if name in edits:
            edits[name].files["text"].append(path)
    return edits


def _files(place: Path) -> list[Path]:
    known = {*EXTENSIONS, ".txt"}
    return sorted(
        path
        for path in place.rglob("*")
        if path.suffix.lower() in known and not path.name.startswith(".") and path.is_file()
    )


def _entry(name: str, edit: _Edit, told: Mapping[str, str], folder: Path) -> Entry | Problem:
    for part in ("before", "after", "mask"):
        paths = edit.files[part]
        if len(paths) > 1:
            listed = ", ".join(path.name for path in paths)
            return Problem(name, f"several pictures {part}: {listed}", "keep one", "edit")
        if not paths and part != "mask":
            return Problem(name, f"it has no picture {part}", "add it, or remove the rest", "edit")
    instruction = _instruction(name, edit, told)
    if isinstance(instruction, Problem):
        return instruction
    before, after = edit.files["before"][0], edit.files["after"][0]
    sample = EditSample(
        id=name,
        source=BLANK,
        instruction=instruction,
        provenance=Provenance("folders", "1", source_uri=uri_of(before)),
    )
    mask = edit.files["mask"][0] if edit.files["mask"] else None
    references = tuple(edit.files["reference"])
    return Entry(relative(before, folder), sample, before, after, mask, references)


def _instruction(name: str, edit: _Edit, told: Mapping[str, str]) -> str | Problem:
    texts = {read_side_car(path) for path in edit.files["text"]} - {None}
    own = [text for text in texts if isinstance(text, str)]
    if len(own) < len(texts):
        return Problem(
            name, "its text cannot be read", "write it as UTF-8", "edit", "no-instruction"
        )
    if len(own) > 1:
        fix = "keep the text beside the picture after"
        return Problem(name, f"its texts differ: {' | '.join(sorted(own))}", fix, "edit")
    if own:
        return own[0]
    for key in (name, PurePosixPath(name).name):
        if key in told:
            return told[key]
    fix = "write it into a .txt of the picture's name, or a CSV with the columns file_name and "
    return Problem(name, "it has no instruction", f"{fix}instruction", "edit", "no-instruction")


def _unknown(folder: Path) -> Problem:
    below = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir())) or "none"
    return Problem(
        str(folder),
        "it has no folders of pictures before and after with the same names",
        f"name them: folders?before=FOLDER&after=FOLDER (it has {below})",
    )
