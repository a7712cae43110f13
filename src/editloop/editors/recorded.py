"""The editor `recorded`: pictures that were edited elsewhere, by a closed system or other code.

    SESSION/SESSION_1.png, SESSION_inde_2.png, SESSION_iter_2.png     MagicBrush's names
    ID.png                                                            a lone edit, by its id

Files may also lie in the folder itself instead of a folder a session, and may be JPEG or WebP.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from pydantic import Field

from editloop import recipe
from editloop.errors import ImageError, RecipeError
from editloop.files import explained
from editloop.images import decode, resize
from editloop.naming import output_path
from editloop.schema import EditRequest, EditSample, Pixels, Unedited
from editloop.store import fingerprint

__all__ = ["RecordedEditor", "RecordedSettings"]

_VERSION = "1"
_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp")


class RecordedSettings(recipe.Settings):
    """Which folder."""

    target: Path = Field(description="a folder of edited pictures, in MagicBrush's names or by id")


class RecordedEditor:
    """Finds pictures instead of making them; what it does not find is unedited, with the reason."""

    Settings = RecordedSettings

    def __init__(self, settings: RecordedSettings) -> None:
        self._folder = settings.target.expanduser()
        self.name = f"recorded:{settings.target}"
        if not self._folder.is_dir():
            raise RecipeError(
                "no such folder of edited pictures",
                value=self._folder,
                fix="name the folder that holds them, as recorded:FOLDER",
            )

    @cached_property
    def fingerprint(self) -> str:
        """From the files' names, sizes and times: none is opened for it."""
        with explained("list edited pictures", self._folder):
            files = [
                [path.relative_to(self._folder).as_posix(), status.st_size, status.st_mtime_ns]
                for path in sorted(self._folder.rglob("*"))
                if path.suffix.lower() in _EXTENSIONS and (status := path.stat())
            ]
        return fingerprint({"version": _VERSION, "files": files})

    def find(self, sample: EditSample, setting: str) -> Path | Unedited:
        """The picture of a case in a setting ("independent" or "iterative")."""
        return self._find(sample.id, sample.session, sample.turn, setting)

    def edit(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        """The recorded picture of each request, in the size of its image."""
        return [self._edit(request) for request in requests]

    def _edit(self, request: EditRequest) -> Pixels | Unedited:
        found = self._find(request.id, request.session, request.turn, request.setting)
        if isinstance(found, Unedited):
            return found
        try:
            return resize(decode(found.read_bytes()), *request.image.shape[:2])
        except ImageError as error:
            return Unedited(f"{found.name} cannot be read: {error.cause}")

    def _find(self, id: str, session: str | None, turn: int, setting: str) -> Path | Unedited:
        expected = output_path(session or id, turn, setting)
        for path in self._places(expected, id if session is None else None):
            if path.is_file():
                return path
        return Unedited(f"there is no picture {expected.as_posix()}")

    def _places(self, expected: Path, id: str | None) -> Iterator[Path]:
        for extension in _EXTENSIONS:
            yield (self._folder / expected).with_suffix(extension)
            yield (self._folder / expected.name).with_suffix(extension)
            if id is not None and not Path(id).is_absolute() and ".." not in Path(id).parts:
                yield self._folder / f"{id}{extension}"
