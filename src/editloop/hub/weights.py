"""Where published weights are: a local folder, or the hub's cache on this machine.

Nothing is fetched unless `download` is called, which a user asks for by `--download`.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

from editloop.errors import UnavailableError
from editloop.schema import Json
from editloop.storage.files import Files, file_hash
from editloop.storage.records import fingerprint

__all__ = ["command", "download", "file_digest", "find", "identity", "stamp", "stamps"]

_DESCRIPTIONS = ["*.json", "*.txt", "*.model"]
_KEPT = {".safetensors", ".bin", ".pth", ".json", ".txt", ".model"}
_SHA256 = re.compile(r"[0-9a-f]{64}")


def find(name: str) -> Path:
    """The folder of a model by its hub name (`owner/name`) or its path; the network is not used.

    Raises UnavailableError, with the command that gets it, where it is not on this machine.
    """
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
            "these weights are not on this machine", value=name, command=command(name)
        ) from None


def command(name: str) -> str:
    """The command that gets a model's weights from the hub."""
    return f"hf download {name}"


def stamp(name: str) -> str | None:
    """A cheap digest of weights, a folder's or a file's, that changes with them; None where absent.

    It is of names, sizes and times; links are followed, as they are when weights are read.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return fingerprint(_facts(path))
    try:
        return fingerprint(stamps(find(name)))
    except UnavailableError:
        return None


def identity(name: str) -> str | None:
    """What tells weights apart on any machine, a digest of their content; None where absent."""
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
    """The SHA-256 of a file of weights, in hex.

    It is read once in a process, while its size and times stay; in the hub's cache a large file's
    name is its SHA-256 already, so it is not read at all.
    """
    file = path.resolve()
    if file.parent.name == "blobs" and _SHA256.fullmatch(file.name):
        return file.name
    return _digest(file, *_facts(file))


@lru_cache(maxsize=4096)
def _digest(file: Path, *_facts: int) -> str:
    return file_hash(Files(), file)


def stamps(folder: Path) -> list[Json]:
    """Relative name, size and times of every file below a folder, in order."""
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
    """Get a model's weights from the hub, if they are not here yet; returns their folder.

    Safetensors where there are any; else the older file, which is only read as plain tensors.
    """
    if Path(name).expanduser().is_dir():
        return Path(name).expanduser()
    from huggingface_hub import HfApi, snapshot_download

    files = HfApi().list_repo_files(name)
    safe = any(file.endswith(".safetensors") for file in files)
    tensors = "*.safetensors" if safe else "pytorch_model.bin"
    return Path(snapshot_download(name, allow_patterns=[tensors, *_DESCRIPTIONS]))
