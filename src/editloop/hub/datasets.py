"""Data sets of the Hugging Face hub that are on this machine, and what their card says.

Nothing is fetched unless `download` is called, which a user asks for by `--download`.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from editloop.errors import RecipeError, UnavailableError
from editloop.storage.files import explained

__all__ = ["download", "find", "licence_of", "uri_of"]

_CACHED = re.compile(
    r".*/datasets--(?P<owner>[^/]+?)--(?P<name>[^/]+)/snapshots/(?P<revision>[^/]+)/(?P<file>.+)"
)
_CARD = re.compile(r"\A---\n(.*?)\n---", re.DOTALL)


def find(name: str) -> Path:
    """The folder of a data set by its path or its hub name (`owner/name`), without the network.

    Raises UnavailableError, with the command that gets it, where it is not in the hub's cache, and
    RecipeError for what is neither.
    """
    folder = _here(name)
    if folder is not None:
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, repo_type="dataset", local_files_only=True))
    except HFValidationError:
        raise _nowhere(name) from None
    except LocalEntryNotFoundError:
        if "/" not in name:
            raise _nowhere(name) from None
        raise UnavailableError(
            "this data set is not on this machine",
            value=name,
            command=_command(name),
        ) from None


def download(name: str) -> Path:
    """Get a data set from the hub, as far as it is not here yet; returns its folder.

    Raises UnavailableError where the hub does not give it.
    """
    folder = _here(name)
    if folder is not None:
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(name, repo_type="dataset"))
    except HFValidationError:
        raise _nowhere(name) from None
    except Exception as error:  # the network fails in as many ways as there are libraries in it
        cause = f"the hub does not give this data set ({type(error).__name__}: {error})"
        raise UnavailableError(cause, value=name, command=_command(name)) from error


def _here(name: str) -> Path | None:
    """The folder of that name; RecipeError for a file of that name."""
    folder = Path(name).expanduser()
    if folder.is_file():
        fix = f"name its folder, {folder.parent}"
        raise RecipeError("a data set is a folder, and this is a file", value=name, fix=fix)
    return folder if folder.is_dir() else None


def licence_of(folder: Path) -> str | None:
    """The licence that the data set's card (README.md) states in its head, if it does."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    with explained("read a data set's card", card):
        head = _CARD.match(card.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n"))
    try:
        content = yaml.safe_load(head[1]) if head else None
    except (yaml.YAMLError, ValueError):  # ValueError: a date that is none
        return None
    stated = content.get("license") if isinstance(content, dict) else None
    return stated if isinstance(stated, str) else None


def uri_of(path: Path) -> str:
    """Where a file is; one in the hub's cache is named as the hub does, alike on every machine."""
    place = path.absolute()
    found = _CACHED.fullmatch(place.as_posix())
    if found is None:
        return place.as_uri()
    owner, name, revision, file = found.groups()
    return f"hf://datasets/{owner}/{name}@{revision}/{file}"


def _nowhere(name: str) -> RecipeError:
    fix = "name a folder that exists, or a data set of the hub as OWNER/NAME"
    return RecipeError("no such data set", value=name, fix=fix)


def _command(name: str) -> str:
    return f"hf download {name} --repo-type dataset"
