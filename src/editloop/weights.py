"""Where published weights are: a local folder, or the hub's cache on this machine.

Nothing is fetched unless `download` is called, which a user asks for by `--download`.
"""

from __future__ import annotations

from pathlib import Path

from editloop.errors import UnavailableError
from editloop.records import fingerprint

__all__ = ["command", "download", "find", "stamp"]

_DESCRIPTIONS = ["*.json", "*.txt", "*.model"]


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
    """A cheap digest of weights: of their files' names, sizes and times; None where absent."""
    try:
        folder = find(name)
    except UnavailableError:
        return None
    files = [
        [path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns]
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (status := path.stat())
    ]
    return fingerprint(files)


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
