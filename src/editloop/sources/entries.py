"""What an index lists, before any picture is read: one entry an edit, and what is wrong with it.

The index of a published data set (a JSON file, the rows of a table) names each edit's pictures and
texts. A reader of one layout turns its index into entries; `reading.IndexedLayout` does the rest
for all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol, TypeAlias

from editloop.errors import ImageError
from editloop.schema import EditSample, Image, Json
from editloop.sources.files import read_file

__all__ = [
    "BLANK",
    "Entry",
    "Index",
    "Picture",
    "Place",
    "Problem",
    "below",
    "read_index",
    "read_json",
]

Picture: TypeAlias = Path | Image  # a file to read, or bytes that a table holds

BLANK = Image(b"")  # stands for the source in an entry's sample: pictures are read later


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a data set: where it is, what it is, and what to do about it.

    `costs` says what cannot be used because of it, where a reader may go on without it: the whole
    set, one edit, or the turns of a session from the one that is missing on.
    """

    where: str
    cause: str
    fix: str
    costs: Literal["set", "edit", "session"] = "set"

    def __str__(self) -> str:
        return f"{self.where}: {self.cause} (fix: {self.fix})"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a table holds an edit: the row of a file, its number in the data set and its turn.

    Rows are counted from 0, turns from 1.
    """

    file: Path
    row: int
    number: int
    turn: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One edit as its index lists it: `sample` holds everything but the pictures.

    An edit that lies in a table with its pictures has a `place` there. Edits of one `group` show
    one picture, or came of one prompt: they belong on one side of a split.
    """

    where: str
    sample: EditSample
    source: Picture
    target: Picture | None = None
    mask: Picture | None = None
    place: Place | None = None
    group: str | None = None

    @property
    def pictures(self) -> dict[str, Picture]:
        """The pictures that there are, by their field's name."""
        found = {"source": self.source, "target": self.target, "mask": self.mask}
        return {name: picture for name, picture in found.items() if picture is not None}


class Index(Protocol):
    """The index of one layout in one folder."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str:
        """Bumped when the same folder would give other samples."""
        ...

    @property
    def folder(self) -> Path: ...

    def listings(self) -> Sequence[Path]:
        """The small files that list the data: the digest covers their content."""
        ...

    def tables(self) -> Sequence[Path]:
        """The large files that hold the pictures themselves; none where pictures are files."""
        ...

    def sessions(self) -> Iterator[Sequence[Entry] | Problem]:
        """Every session in its fixed order (a lone edit is a session of one), or what is wrong."""
        ...


def below(folder: Path, name: Json) -> Path | None:
    """The file that an index names in a folder; None for what is no name of a file below it."""
    if not isinstance(name, str) or not name or "\0" in name or "\\" in name:
        return None
    path = PurePosixPath(name)
    return None if path.is_absolute() or ".." in path.parts else folder / path


def read_json(path: Path) -> Json | Problem:
    """What a JSON file holds; a key given twice is an error, not an edit that vanishes."""
    try:
        return json.loads(read_file(path).decode("utf-8-sig"), object_pairs_hook=_unrepeated)
    except FileNotFoundError:
        return Problem(path.name, "the index file is missing", "unpack the data set again")
    except (OSError, ImageError, ValueError, RecursionError) as error:
        return Problem(path.name, f"it is no JSON that can be read: {error}", "fetch it again")


def read_index(path: Path) -> Mapping[str, Json] | Problem:
    """The mapping in a JSON file, as `read_json`."""
    content = read_json(path)
    if not isinstance(content, dict | Problem):
        return Problem(path.name, "it holds no mapping", "fetch it again")
    return content


def _unrepeated(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(n for n in names if names.count(n) > 1)!r} is given twice")
    return made
