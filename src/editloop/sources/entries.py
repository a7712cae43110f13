"""The entries of a data set's index, one per edit, and its problems, before any picture is read.

The index of a published data set (a JSON file, the rows of a table) names each edit's pictures and
texts. Each layout's reader turns its index into entries; `reading.IndexedLayout` does the rest for
all layouts.
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
    "REFERENCE",
    "Entry",
    "Index",
    "Picture",
    "Place",
    "Problem",
    "below",
    "read_index",
    "read_json",
]

Picture: TypeAlias = Path | Image  # a file to read, or bytes from a table

REFERENCE = "reference "  # before the number of a reference picture

BLANK = Image(b"")  # placeholder for the source in an entry's sample: pictures are read later


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem in a data set: its location, its cause and its fix.

    `costs` is what cannot be used because of it, if a reader continues without it: the whole set,
    one edit, a session's turns from the missing one on, or nothing: then it is only told. `code` is
    its kind.
    """

    where: str
    cause: str
    fix: str
    costs: Literal["set", "edit", "session", "nothing"] = "set"
    code: str = "row-faulty"

    def __str__(self) -> str:
        return f"{self.where}: {self.cause} (fix: {self.fix})"


@dataclass(frozen=True, slots=True)
class Place:
    """The location of an edit in a table: file, row, number in the data set, and turn.

    Rows are counted from 0, turns from 1.
    """

    file: Path
    row: int
    number: int
    turn: int


@dataclass(frozen=True, slots=True)
class Entry:
    """An edit as its index lists it: `sample` holds everything except the pictures.

    `place` is set if the pictures are stored in a table. Edits of one `group` share a picture or a
    prompt and must be in the same split.
    """

    where: str
    sample: EditSample
    source: Picture
    target: Picture | None = None
    mask: Picture | None = None
    references: tuple[Picture, ...] = ()
    place: Place | None = None
    group: str | None = None

    @property
    def pictures(self) -> dict[str, Picture]:
        """The existing pictures by field name; references are `reference 1` and so on."""
        found = {"source": self.source, "target": self.target, "mask": self.mask}
        found |= {f"{REFERENCE}{at}": each for at, each in enumerate(self.references, 1)}
        return {name: picture for name, picture in found.items() if picture is not None}


class Index(Protocol):
    """The index of one layout in one folder."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str:
        """The version; it changes when the same folder would give different samples."""
        ...

    @property
    def folder(self) -> Path: ...

    def listings(self) -> Sequence[Path]:
        """Return the small files that list the data: the digest covers their content."""
        ...

    def tables(self) -> Sequence[Path]:
        """Return the large files that contain pictures; empty if pictures are separate files."""
        ...

    def sessions(self) -> Iterator[Sequence[Entry] | Problem]:
        """Yield sessions and problems in a fixed order (a single edit is a session of one)."""
        ...


def below(folder: Path, name: Json) -> Path | None:
    """Return the path of a file named by an index; None if the name is not below the folder."""
    if not isinstance(name, str) or not name or "\0" in name or "\\" in name:
        return None
    path = PurePosixPath(name)
    return None if path.is_absolute() or ".." in path.parts else folder / path


def read_json(path: Path) -> Json | Problem:
    """Read a JSON file; a duplicate key is a problem, so that no edit is lost silently."""
    try:
        return json.loads(read_file(path).decode("utf-8-sig"), object_pairs_hook=_unrepeated)
    except FileNotFoundError:
        return Problem(path.name, "the index file is missing", "unpack the data set again")
    except (OSError, ImageError, ValueError, RecursionError) as error:
        return Problem(path.name, f"it is not JSON that can be read: {error}", "fetch it again")


def read_index(path: Path) -> Mapping[str, Json] | Problem:
    """Read a JSON file that must contain a mapping, as `read_json`."""
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
