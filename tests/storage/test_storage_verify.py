"""A flipped byte anywhere in a run folder is detected."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from editloop.errors import StoreError
from editloop.kernel.build import Options, build, retry
from editloop.storage.manifests import (
    find_manifest,
    publish_folder,
    record_manifest,
    staging_folder,
    write_file,
)
from editloop.storage.samples import read_samples
from editloop.storage.verify import verify
from kernel_parts import source, step


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with every kind of file that the kernel writes."""
    out = tmp_path_factory.mktemp("run")
    steps = [step(), step("NetworkStep", label="n")]
    sources = [source(count={"train": 9, "heldout": 3}, broken=["train/0001"])]
    build(sources, steps, out=out, shard_size=4, options=Options(workers=0))
    retry(out, "permanent", Options(workers=0))
    staged = staging_folder(out, "models/plain")
    (staged / "weights").mkdir()
    (staged / "weights" / "model.bin").write_bytes(bytes(range(200)))
    publish_folder(out, "models/plain", staged, made_from="abc", facts={"loss": 0.5})
    write_file(out, out / "results.json", b'{"a": 1}')
    (out / "report.html").write_text("<p>")
    record_manifest(out, "report.html", [out / "report.html"])
    return out


def files_of(run: Path) -> list[Path]:
    """Return every file except the locks, which have no content to check."""
    return [path for path in sorted(run.rglob("*")) if path.is_file() and path.suffix != ".lock"]


def test_a_whole_run_has_no_problems(run: Path) -> None:
    assert verify(run) == []


def test_a_flipped_byte_in_any_file_is_found(run: Path) -> None:
    draw = random.Random(7)
    assert {path.suffix for path in files_of(run)} >= {".parquet", ".json", ".jsonl", ".bin"}
    for path in files_of(run):
        data = path.read_bytes()
        for at in (0, draw.randrange(len(data)), len(data) - 1):
            path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
            problems = verify(run)
            assert problems, f"byte {at} of {path}"
            assert any(problem.path == path for problem in problems)
        path.write_bytes(data)


def test_a_truncated_or_missing_file_is_found(run: Path) -> None:
    for path in files_of(run):
        if path.suffix not in (".parquet", ".bin"):
            continue
        data = path.read_bytes()
        path.write_bytes(data[:-1])
        assert [problem.path for problem in verify(run)] == [path]
        path.unlink()
        assert [problem.path for problem in verify(run)] == [path]
        path.write_bytes(data)


def test_a_flipped_picture_is_found_on_reading(run: Path) -> None:
    path = run / "data" / "train-00000-of-00001.parquet"
    data = path.read_bytes()
    sample = next(read_samples(run / "data", "train"))
    at = data.index(sample.source.bytes) + 100
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(StoreError, match="cannot be read back"):
        list(read_samples(run / "data", "train"))
    path.write_bytes(data)


def test_a_manifest_says_what_was_published(run: Path) -> None:
    manifest = find_manifest(run, "models/plain")
    assert manifest is not None
    assert list(manifest.files) == ["models/plain/weights/model.bin"]
    assert manifest.facts == {"loss": 0.5}
    assert manifest.fingerprint == "abc"
    assert manifest.in_place(run)
    assert find_manifest(run, "models/other") is None


def test_a_publication_replaces_the_folder_as_a_whole(tmp_path: Path) -> None:
    for name in ("old.txt", "new.txt"):
        staged = staging_folder(tmp_path, "evaluation/bench")
        (staged / name).write_text(name)
        publish_folder(tmp_path, "evaluation/bench", staged)
    assert [path.name for path in (tmp_path / "evaluation" / "bench").iterdir()] == ["new.txt"]
    assert verify(tmp_path) == []
    assert list((tmp_path / ".editloop" / "staging").iterdir()) == []


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no run in this folder"):
        verify(tmp_path)


def test_staging_begins_empty(tmp_path: Path) -> None:
    (staging_folder(tmp_path, "models/plain") / "half").touch()
    assert list(staging_folder(tmp_path, "models/plain").iterdir()) == []


def test_an_odd_publication_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be used as a file name"):
        staging_folder(tmp_path, "../models")
