"""The editor `recorded`: pictures that were edited elsewhere, by a closed system or other code.

    SESSION/SESSION_1.png, SESSION_inde_2.png, SESSION_iter_2.png     MagicBrush's names
    ID.png                                                            a single edit, by its id
    8_change_background_80/1_artificial/811000000001.jpg              PIE-Bench's `image_path`
    fullset/TASK/LANGUAGE/KEY.png                                     GEdit's

Files may also be in the folder itself, without a subfolder per session, and may be JPEG or WebP.
Files named otherwise are found by a `pattern`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from string import Formatter

from pydantic import Field, field_validator

from editloop.editors.file_names import output_path
from editloop.errors import ImageError, RecipeError
from editloop.hub.weights import stamps
from editloop.images.codec import decode, resize
from editloop.schema import EditRequest, EditSample, Json, Pixels, Unedited
from editloop.settings import Settings as BaseSettings
from editloop.storage.files import explained
from editloop.storage.records import fingerprint

__all__ = ["RecordedEditor", "RecordedSettings"]

_VERSION = "2"
_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".PNG", ".JPG", ".JPEG")
_FIELDS = ("id", "session", "turn", "setting")  # of a pattern, beside the data set's own


class RecordedSettings(BaseSettings):
    """The folder of the recorded pictures."""

    target: Path = Field(description="a folder of edited pictures, in MagicBrush's names or by id")
    pattern: str | None = Field(
        default=None,
        description="the pictures' names below the folder, such as {id}.png; fields: id, session, "
        "turn, setting, and text columns of the data set",
    )

    @field_validator("pattern")
    @classmethod
    def _has_a_field(cls, pattern: str | None) -> str | None:
        try:
            named = [] if pattern is None else [name for _, name, *_ in Formatter().parse(pattern)]
        except ValueError as error:
            raise ValueError(f"not a pattern ({error}): write it as {{id}}.png") from None
        if pattern is not None and not any(named):
            raise ValueError("a pattern needs a field, as {id}.png")
        return pattern


class RecordedEditor:
    """An editor that looks up finished pictures; a missing one is Unedited, with the reason."""

    Settings = RecordedSettings

    def __init__(self, settings: RecordedSettings) -> None:
        self._folder = settings.target.expanduser()
        self._pattern = settings.pattern
        self.name = f"recorded:{settings.target}"
        if not self._folder.is_dir():
            raise RecipeError(
                "the folder of edited pictures does not exist",
                value=self._folder,
                fix="name the folder with the pictures, as recorded:FOLDER",
            )

    @cached_property
    def fingerprint(self) -> str:
        """The digest of the files' names, sizes and times; no file is opened."""
        with explained("list edited pictures", self._folder):
            content: dict[str, Json] = {"version": _VERSION, "files": stamps(self._folder)}
        return fingerprint(content | ({"pattern": self._pattern} if self._pattern else {}))

    def find(self, sample: EditSample, setting: str) -> Path | Unedited:
        """Return the path of a case's picture in a setting ("independent" or "iterative")."""
        return self._find(sample, setting)

    def edit(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        """Return the recorded picture of each request, in the size of its image."""
        return [self._edit(request) for request in requests]

    def _edit(self, request: EditRequest) -> Pixels | Unedited:
        found = self._find(request, request.setting)
        if isinstance(found, Unedited):
            return found
        try:
            return resize(decode(found.read_bytes()), *request.image.shape[:2])
        except ImageError as error:
            return Unedited(f"{found.name} cannot be read: {error.cause}")

    def _find(self, case: EditSample | EditRequest, setting: str) -> Path | Unedited:
        if self._pattern is not None:
            return self._by_pattern(self._pattern, case, setting)
        expected = output_path(case.session or case.id, case.turn, setting)
        places = list(self._places(expected, case, setting))
        found = next(filter(_is_file, places), None)
        return self._missing(expected, places) if found is None else found

    def _by_pattern(
        self, pattern: str, case: EditSample | EditRequest, setting: str
    ) -> Path | Unedited:
        made = case.provenance
        fields: dict[str, Json] = dict(made.parameters if made is not None else {})
        own = (case.id, case.session or case.id, case.turn, setting)
        fields |= dict(zip(_FIELDS, own, strict=True))
        try:
            name = pattern.format_map(fields)
        except (KeyError, IndexError, AttributeError, ValueError) as error:
            raise RecipeError(
                "the pattern of recorded pictures has an unknown field",
                value=f"{pattern} ({error})",
                fix=f"use fields such as {', '.join(sorted(fields))}",
            ) from None
        path = self._folder / name
        if not _is_below(name):
            return Unedited(f"the pattern gives no name below the folder: {name}")
        return path if _is_file(path) else self._missing(Path(name), [path])

    def _missing(self, expected: Path, places: Sequence[Path]) -> Unedited:
        """Return that there is no picture, and which ones differ only in case or extension."""
        names = {_plain_name(path.relative_to(self._folder)) for path in places}
        near = sorted({each for name in names for each in self._by_plain_name.get(name, ())})
        told = f"there is no picture {expected.as_posix()}"
        if near:
            told += f", but {' and '.join(near[:3])}: rename it, or give its name as `pattern`"
        return Unedited(told)

    @cached_property
    def _by_plain_name(self) -> dict[str, list[str]]:
        """All files by their names in lower case, without extensions."""
        found: dict[str, list[str]] = defaultdict(list)
        with explained("list edited pictures", self._folder):
            for path in self._folder.rglob("*"):
                if path.is_file():
                    name = path.relative_to(self._folder)
                    found[_plain_name(name)].append(name.as_posix())
        return found

    def _places(
        self, expected: Path, case: EditSample | EditRequest, setting: str
    ) -> Iterator[Path]:
        """Yield the possible paths of a picture, never one that belongs to another case.

        For a single edit, the path by its id comes first, then the data set's own for outputs.
        """
        raw = case.id if case.session is None else case.session
        own = output_path(raw, case.turn, setting, safe=False) if _is_plain(raw) else expected
        names = [expected, own, Path(expected.name), Path(own.name)]
        if case.session is None:
            named = [f"{case.id}.png", *_published(case)]
            names = [*(Path(name) for name in named if _is_below(name)), expected]
        for name in dict.fromkeys(names):
            for extension in _EXTENSIONS:
                yield self._folder / name.with_name(f"{name.name.removesuffix('.png')}{extension}")


def _published(case: EditSample | EditRequest) -> list[str]:
    """Return the paths, as .png, under which a benchmark's released code writes a case's output."""
    made = case.provenance
    if made is None:
        return []
    facts = made.parameters
    if made.generator == "pie-bench":
        path = f"{facts['image_path'].rpartition('.')[0]}.png"
        return [path, f"annotation_images/{path}"]
    if made.generator == "gedit" and {"task_type", "instruction_language"} <= facts.keys():
        path = f"{facts['task_type']}/{facts['instruction_language']}/{case.id}.png"
        return [f"fullset/{path}", path]
    return []


def _plain_name(path: Path) -> str:
    return path.with_suffix("").as_posix().lower()


def _is_below(name: str) -> bool:
    path = Path(name)
    odd = path.is_absolute() or ".." in path.parts or "\0" in name
    return bool(path.name) and not odd


def _is_plain(name: str) -> bool:
    """Return whether a name is a plain file name, without a folder."""
    return _is_below(name) and len(Path(name).parts) == 1


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for the file system
        return False
