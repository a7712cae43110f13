"""Local copies of data sets of the Hugging Face hub, and the licences in their cards.

Nothing is downloaded unless `download` is called, which a user requests by `--download`.
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
    """Return a data set's folder or file by its path or hub name, without the network.

    Raises UnavailableError, with the download command, if it is not in the hub's cache, and
    RecipeError if `name` is neither a path nor a hub name.
    """
    folder = _local(name)
    if folder is not None:
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, repo_type="dataset", local_files_only=True))
    except HFValidationError:
        raise _not_found(name) from None
    except LocalEntryNotFoundError:
        if "/" not in name:
            raise _not_found(name) from None
        raise UnavailableError(
            "this data set is not on this machine", value=name, command=_command(name)
        ) from None


def download(name: str) -> Path:
    """Download the missing files of a data set from the hub; returns its folder.

    Raises UnavailableError if the download fails.
    """
    folder = _local(name)
    if folder is not None:
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(name, repo_type="dataset"))
    except HFValidationError:
        raise _not_found(name) from None
    except Exception as error:  # each network library raises its own errors
        cause = f"cannot download this data set ({type(error).__name__}: {error})"
        raise UnavailableError(cause, value=name, command=_command(name)) from error


def _local(name: str) -> Path | None:
    """Return the folder or the file with this path, if it exists."""
    place = Path(name).expanduser()
    return place if place.exists() else None


def licence_of(folder: Path) -> str | None:
    """Return the licence in the front matter of a data set's card (README.md), if any."""
    card = (folder if folder.is_dir() else folder.parent) / "README.md"
    if not card.is_file():
        return None
    with explained("read a data set's card", card):
        head = _CARD.match(card.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n"))
    try:
        content = yaml.safe_load(head[1]) if head else None
    except (yaml.YAMLError, ValueError):  # ValueError: an invalid date
        return None
    stated = content.get("license") if isinstance(content, dict) else None
    return stated if isinstance(stated, str) else None


def uri_of(path: Path) -> str:
    """Return a file's URI; for one in the hub's cache, a hub URI that is the same everywhere."""
    place = path.absolute()
    found = _CACHED.fullmatch(place.as_posix())
    if found is None:
        return place.as_uri()
    owner, name, revision, file = found.groups()
    return f"hf://datasets/{owner}/{name}@{revision}/{file}"


def _not_found(name: str) -> RecipeError:
    fix = "give an existing folder, or a data set of the hub as OWNER/NAME"
    return RecipeError("no such data set", value=name, fix=fix)


def _command(name: str) -> str:
    return f"hf download {name} --repo-type dataset"
