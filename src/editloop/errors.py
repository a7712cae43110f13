"""The tree of all errors that EditLoop raises on purpose.

    EditLoopError
    ├── RecipeError        a recipe, card or SPEC cannot be read
    ├── ImageError         a file cannot become pixels (carries a code)
    ├── StoreError         a folder cannot be read or written as a store
    │   ├── CorruptError   bytes on disk differ from what was committed
    │   ├── ChangedError   the recipe or its inputs changed since the folder was made
    │   └── BusyError      another process is working on the folder
    ├── StepError          a step broke its contract, or workers died on it
    ├── UnavailableError   a package, weights or a machine are missing (carries the command to get
    │                      them, if there is one)
    ├── InstructionError   an editor does not understand an instruction
    └── TrainingError      training cannot start or continue

A message gives the cause, the offending value and the fix. It never contains keys or secrets.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import StrEnum

__all__ = [
    "BusyError",
    "ChangedError",
    "CorruptError",
    "EditLoopError",
    "FailureClass",
    "ImageError",
    "InstructionError",
    "RecipeError",
    "StepError",
    "StoreError",
    "TrainingError",
    "UnavailableError",
    "did_you_mean",
    "known_names",
]


class EditLoopError(Exception):
    """The base of all errors: `cause`, the offending `value`, and the `fix`.

    It can be pickled, so a worker process can pass it to its parent.
    """

    def __init__(self, cause: str, *, value: object = None, fix: str | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.value = value
        self.fix = fix

    def __str__(self) -> str:
        text = self.cause if self.value is None else f"{self.cause}: {self.value}"
        return text if self.fix is None else f"{text}\n  fix: {self.fix}"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), dict(self.__dict__)))


def _rebuild(kind: type[EditLoopError], state: dict[str, object]) -> EditLoopError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    error.args = (state["cause"],)
    return error


class RecipeError(EditLoopError):
    """A recipe, card or SPEC cannot be read."""


class ImageError(EditLoopError):
    """A file cannot become pixels; `code` is a short stable name such as `truncated`."""

    def __init__(
        self, code: str, cause: str, *, value: object = None, fix: str | None = None
    ) -> None:
        super().__init__(cause, value=value, fix=fix)
        self.code = code

    def of(self, name: object) -> ImageError:
        """Return the error with the name of a file or sample before its value."""
        value = name if self.value is None else f"{name} ({self.value})"
        return ImageError(self.code, self.cause, value=value, fix=self.fix)


class StoreError(EditLoopError):
    """A folder cannot be read or written as a store."""


class CorruptError(StoreError):
    """Bytes on disk differ from what was committed."""


class ChangedError(StoreError):
    """The recipe or its inputs changed since the folder was made."""


class BusyError(StoreError):
    """Another process is working on the folder."""


class StepError(EditLoopError):
    """A step broke its contract, or its workers died."""


class UnavailableError(EditLoopError):
    """A package, weights or a machine are missing; `command` installs or downloads them."""

    def __init__(
        self,
        cause: str,
        *,
        command: str | None = None,
        value: object = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(cause, value=value, fix=fix if command is None else f"run `{command}`")
        self.command = command


class InstructionError(EditLoopError):
    """An editor does not understand an instruction; the fix describes supported ones."""


class TrainingError(EditLoopError):
    """Training cannot start or continue."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the start of a fix with the closest known name: `did you mean 'steps'? `.

    Returns an empty string if none is close.
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def known_names(name: str, known: Iterable[str]) -> str:
    """Return a fix for an unknown name: the closest known name, and all of them."""
    names = list(known)
    return f"{did_you_mean(name, names)}known: {', '.join(names)}"


class FailureClass(StrEnum):
    """The class of a failure, which decides whether a retry can help."""

    TRANSIENT = "transient"  # a retry may succeed: a time-out, a busy server
    PERMANENT = "permanent"  # the input itself is at fault: a broken file
    POLICY = "policy"  # a content filter refused
    BUG = "bug"  # the step raised an unexpected error, or killed its worker
