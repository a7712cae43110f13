"""The editor `recorded`: pictures that were edited elsewhere, by a closed system or other code.

    SESSION/SESSION_1.png, SESSION_inde_2.png, SESSION_iter_2.png     MagicBrush's names
    ID.png                                                            a single edit, by its id
    8_change_background_80/1_artificial/811000000001.jpg              PIE-Bench's `image_path`

Files may also be in the folder itself, without a subfolder per session, and may be JPEG or WebP.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from pydantic import Field

from editloop.editors.file_names import output_path
from editloop.errors import ImageError, RecipeError
from editloop.hub.weights import stamps
from editloop.images.codec import decode, resize
from editloop.schema import EditRequest, EditSample, Pixels, Unedited
from editloop.settings import Settings as BaseSettings
from editloop.storage.files import explained
from editloop.storage.records import fingerprint

__all__ = ["RecordedEditor", "RecordedSettings"]

_VERSION = "2"
_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".PNG", ".JPG", ".JPEG")


class RecordedSettings(BaseSettings):
    """The folder of the recorded pictures."""

    target: Path = Field(description="a folder of edited pictures, in MagicBrush's names or by id")


class RecordedEditor:
    """An editor that looks up finished pictures; a missing one is Unedited, with the reason."""

    Settings = RecordedSettings

    def __init__(self, settings: RecordedSettings) -> None:
        self._folder = settings.target.expanduser()
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
            return fingerprint({"version": _VERSION, "files": stamps(self._folder)})

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
        expected = output_path(case.session or case.id, case.turn, setting)
        for path in self._places(expected, case, setting):
            if _is_file(path):
                return path
        return Unedited(f"there is no picture {expected.as_posix()}")

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
            published = _image_path(case)
            named = [f"{case.id}.png", *([] if published is None else [published])]
            names = [*(Path(name) for name in named if _is_below(name)), expected]
        for name in dict.fromkeys(names):
            for extension in _EXTENSIONS:
                yield self._folder / name.with_name(f"{name.name.removesuffix('.png')}{extension}")


def _image_path(case: EditSample | EditRequest) -> str | None:
    """Return the path of a PIE-Bench picture, as .png; None for other data."""
    made = case.provenance
    if made is None or made.generator != "pie-bench":
        return None
    path: str = made.parameters["image_path"]
    return f"{path.rpartition('.')[0]}.png"


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
