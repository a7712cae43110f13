"""Local weights: their digests, and how often files are read to compute them."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from editloop.hub import weights
from editloop.metrics.encoders import ImageModel
from editloop.storage.files import Files, file_hash


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"tensors")
    return folder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the names of the files that are read, in order."""
    found: list[str] = []

    def counted(files: Files, path: Path) -> str:
        found.append(path.name)
        return file_hash(files, path)

    monkeypatch.setattr(weights, "file_hash", counted)
    return found


def key(folder: Path) -> str | None:
    return ImageModel(str(folder)).key


def identity(folder: Path) -> str | None:
    return weights.identity(str(folder))


@pytest.mark.parametrize(("first", "second"), [(key, identity), (identity, key)])
def test_who_asks_second_reads_nothing(
    model: Path,
    reads: list[str],
    first: Callable[[Path], str | None],
    second: Callable[[Path], str | None],
) -> None:
    first(model)
    assert reads == ["config.json", "model.safetensors"]
    second(model)
    assert len(reads) == 2


def test_a_link_to_weights_is_not_read_again(model: Path, reads: list[str]) -> None:
    linked = model.with_name("linked")
    linked.symlink_to(model)
    assert identity(linked) == identity(model)
    assert len(reads) == 2


def test_a_file_that_changed_is_read_again_alone(model: Path, reads: list[str]) -> None:
    before = identity(model), key(model)
    reads.clear()
    (model / "model.safetensors").write_bytes(b"TENSORS")  # the same size
    assert reads == []
    after = identity(model), key(model)
    assert reads == ["model.safetensors"]
    assert len({*before, *after}) == 4


def test_an_identity_is_of_names_and_content_and_not_of_the_place(
    model: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "elsewhere" / "copy"))
    assert identity(copy) == identity(model)
    (copy / "model.safetensors").rename(copy / "other.safetensors")
    assert identity(copy) != identity(model)
    assert identity(tmp_path / "absent") is None


def test_a_large_file_in_the_hubs_cache_is_known_by_its_name(
    model: Path, tmp_path: Path, reads: list[str]
) -> None:
    cached = Path(shutil.copytree(model, tmp_path / "models--a--b" / "snapshots" / "c"))
    content = (cached / "model.safetensors").read_bytes()
    blob = tmp_path / "models--a--b" / "blobs" / hashlib.sha256(content).hexdigest()
    blob.parent.mkdir()
    (cached / "model.safetensors").rename(blob)
    (cached / "model.safetensors").symlink_to(blob)
    found = identity(cached)
    assert reads == ["config.json"]
    assert found == identity(model)
