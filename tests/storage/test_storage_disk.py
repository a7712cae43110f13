"""A full, read-only or broken disk: it raises an error, marks nothing complete, and resumes."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from editloop.errors import StoreError
from editloop.kernel.build import Options, build
from editloop.storage.files import Files
from editloop.storage.locks import lock
from editloop.storage.verify import verify
from kernel_faults import BROKEN, DISK_FULL, READ_ONLY, FaultyFiles, UnsyncedFiles, published
from kernel_parts import source, step

ERRORS = {"full": DISK_FULL, "read-only": READ_ONLY, "broken": BROKEN}


def small(out: Path, files: Files) -> None:
    sources = [source(count={"train": 4}, broken=["train/0002"])]
    options = Options(workers=0, files=files)
    with lock(out):
        build(sources, [step()], out=out, shard_size=4, options=options)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("whole")
    small(out, UnsyncedFiles())
    return published(out)


def attempt(out: Path, files: Files) -> StoreError | None:
    try:
        small(out, files)
    except StoreError as error:
        return error
    return None


@pytest.mark.slow
def test_an_error_at_any_operation(tmp_path: Path, expected: dict[str, str]) -> None:
    kinds = itertools.cycle(itertools.product(ERRORS, ("once", "for good")))
    for at in itertools.count():
        out = tmp_path / str(at)
        name, how_long = next(kinds)
        files = FaultyFiles(at, ERRORS[name], lasting=how_long == "for good")
        error = attempt(out, files)
        if not files.reached:
            break
        where = f"{name} {how_long} from operation {at}"
        assert error is not None, where
        assert error.fix, where
        assert verify(out) == [], where
        small(out, UnsyncedFiles())
        assert published(out) == expected, where
        assert verify(out) == [], where
    assert at > 60


@pytest.mark.parametrize("write", [0, 1, 3, 6])
def test_a_full_disk_keeps_the_older_version(tmp_path: Path, write: int) -> None:
    small(tmp_path, Files())
    before = published(tmp_path)
    files = FaultyFiles(write, DISK_FULL, lasting=True, kinds=["write"])
    with pytest.raises(StoreError, match="No space left"):
        build(
            [source(count={"train": 6})],
            [step()],
            out=tmp_path,
            shard_size=4,
            new_version=True,
            options=Options(workers=0, files=files),
        )
    assert published(tmp_path) == before
    assert verify(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ERRORS)
def test_a_worker_that_meets_the_error_ends_the_build(tmp_path: Path, name: str) -> None:
    files = FaultyFiles(3, ERRORS[name], kinds=["write"])  # plan, claim and parts pass
    sources = [source(count={"train": 4})]
    with pytest.raises(StoreError, match="commit a shard"):
        build(sources, [step()], out=tmp_path, options=Options(workers=1, files=files))
    assert published(tmp_path) == {}
