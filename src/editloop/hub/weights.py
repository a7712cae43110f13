"""Published weights in a local folder or in the hub's cache on this machine.

Nothing is downloaded unless `download` is called, which a user requests by `--download`.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

from editloop.errors import UnavailableError
from editloop.hub.pretrained import refuse_code
from editloop.schema import Json
from editloop.storage.files import Files, file_hash
from editloop.storage.records import fingerprint

__all__ = ["command", "download", "file_digest", "find", "identity", "stamp", "stamps"]

_DESCRIPTIONS = ["*.json", "*.txt", "*.model"]
_KEPT = {".safetensors", ".bin", ".pth", ".json", ".txt", ".model"}
_SHA256 = re.compile(r"[0-9a-f]{64}")


def find(name: str) -> Path:
    """Return a model's folder by its hub name (`owner/name`) or path, without the network.

    Raises UnavailableError, with the download command, if it is not on this machine, and
    RecipeError if it asks to run code of its own.
    """
    folder = _found(name)
    refuse_code(folder)
    return folder


def _found(name: str) -> Path:
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except HFValidationError:
        raise UnavailableError("no such folder of weights", value=name) from None
    except LocalEntryNotFoundError:
        raise UnavailableError(
            "these weights are not on this machine, and there is no such folder",
            value=name,
            command=command(name),
        ) from None


def command(name: str) -> str:
    """Return the command that downloads a model's weights from the hub."""
    return f"hf download {name}"


def stamp(name: str) -> str | None:
    """Return a cheap digest of a folder or file of weights; None if they are missing.

    It covers names, sizes and times; symbolic links are followed, as when weights are loaded.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return fingerprint(_facts(path))
    try:
        return fingerprint(stamps(find(name)))
    except UnavailableError:
        return None


def identity(name: str) -> str | None:
    """Return a digest of the weights' content, the same on any machine; None if missing."""
    path = Path(name).expanduser()
    if path.is_file():
        return file_digest(path)[:16]
    try:
        folder = find(name)
    except UnavailableError:
        return None
    kept = (path for path in sorted(folder.rglob("*")) if path.suffix in _KEPT and path.is_file())
    return fingerprint([[path.relative_to(folder).as_posix(), file_digest(path)] for path in kept])


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file of weights, in hex.

    The digest is cached in the process until the file's size or times change. In the hub's cache, a
    large file's name is its SHA-256, so the file is not read.
    """
    file = path.resolve()
    if file.parent.name == "blobs" and _SHA256.fullmatch(file.name):
        return file.name
    return _digest(file, *_facts(file))


@lru_cache(maxsize=4096)
def _digest(file: Path, *_facts: int) -> str:
    return file_hash(Files(), file)


def stamps(folder: Path) -> list[Json]:
    """Return the relative name, size and times of every file below a folder, sorted."""
    found = [
        Path(place, name) for place, _, names in os.walk(folder, followlinks=True) for name in names
    ]
    return [
        [path.relative_to(folder).as_posix(), *_facts(path)]
        for path in sorted(found)
        if path.is_file()
    ]


def _facts(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def download(name: str) -> Path:
    """Download a model's weights from the hub, unless they are local; returns their folder.

    Downloads safetensors if there are any, else the older file, from which only tensors are loaded.
    """
    if Path(name).expanduser().is_dir():
        return Path(name).expanduser()
    from huggingface_hub import HfApi, snapshot_download

    files = HfApi().list_repo_files(name)
    safe = any(file.endswith(".safetensors") for file in files)
    tensors = "*.safetensors" if safe else "pytorch_model.bin"
    return Path(snapshot_download(name, allow_patterns=[tensors, *_DESCRIPTIONS]))
