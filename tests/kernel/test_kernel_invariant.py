"""Whatever goes wrong, every input ends in exactly one of output, dropped, quarantined."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from editloop.errors import StoreError
from editloop.kernel.build import BuildReport, Options, build, retry
from editloop.kernel.tasks import StepSpec
from editloop.storage.files import Files
from editloop.storage.samples import read_samples
from editloop.storage.verify import verify
from kernel_faults import BROKEN, DISK_FULL, FaultyFiles, UnsyncedFiles, published
from kernel_parts import source, step

pytestmark = pytest.mark.slow

TROUBLES = ["raise", "exit", "memory", "image", "nothing", "none", "too many", "twice", "bad id",
            "surrogate", "flaky"]  # fmt: skip


class Stopped(BaseException):
    """An error that simulates the end of the process."""


def stop() -> None:
    raise Stopped


FAULTS: list[Callable[[], None]] = [stop, DISK_FULL, BROKEN]

recipes = st.fixed_dictionaries(
    {
        "train": st.integers(1, 14),
        "heldout": st.integers(0, 4),
        "broken": st.sets(st.integers(0, 13)),
        "drops": st.integers(0, 4),
        "fails": st.integers(0, 4),
        "splits": st.integers(0, 3),
        "shard_size": st.integers(1, 6),
        "troubles": st.dictionaries(
            st.integers(0, 13).map("{:02d}".format), st.sampled_from(TROUBLES), max_size=5
        ),
    }
)
interruptions = st.lists(st.tuples(st.integers(0, 250), st.sampled_from(FAULTS)), max_size=3)


def make(recipe: dict[str, object], out: Path, outside: Path, files: Files) -> BuildReport:
    counts = {"train": recipe["train"], "heldout": recipe["heldout"]}
    broken = [f"train/{index:04d}" for index in recipe["broken"]]  # type: ignore[attr-defined]
    mixed = {name: recipe[name] for name in ("drops", "fails", "splits")}
    steps: list[StepSpec] = [
        step(**mixed),
        step("TroubleStep", on=recipe["troubles"], folder=str(outside)),
        step("NetworkStep", label="n", **mixed),
    ]
    return build(
        [source(count=counts, broken=broken, bytes=40)],
        steps,
        out=out,
        shard_size=recipe["shard_size"],  # type: ignore[arg-type]
        options=Options(workers=0, files=files),
    )


def check(report: BuildReport, recipe: dict[str, object], out: Path) -> None:
    """Check that every input has an outcome, and that no id has two."""
    ends = [
        sample.id
        for split in report.counts["splits"]
        for sample in read_samples(out / "data", split)
    ]
    for name in ("dropped", "quarantined"):
        ends += pq.read_table(out / "rejects" / f"{name}.parquet").column("id").to_pylist()
    assert len(ends) == len(set(ends))
    inputs = {
        f"{split}/{index:04d}"
        for split in ("train", "heldout")
        for index in range(recipe[split])  # type: ignore[call-overload]
    }
    roots = {"/".join(name.split("/")[:2]) for name in ends}
    assert roots == inputs
    assert report.counts["in"] == len(inputs) == sum(report.counts["inputs"].values())


@given(recipe=recipes, breaks=interruptions)
@settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
def test_every_input_ends_once(
    recipe: dict[str, object], breaks: list[tuple[int, Callable[[], None]]]
) -> None:
    with TemporaryDirectory() as folder:
        outside, out, calm = (Path(folder, name) for name in ("outside", "out", "calm"))
        outside.mkdir()
        for at, fault in breaks:
            try:
                make(recipe, out, outside, FaultyFiles(at, fault))
            except (StoreError, Stopped):
                assert verify(out) == []
        check(make(recipe, out, outside, UnsyncedFiles()), recipe, out)
        make(recipe, calm, outside, UnsyncedFiles())
        assert published(out) == published(calm)
        (outside / "up").touch()
        retry(out, options=Options(workers=0))
        check(make(recipe, out, outside, UnsyncedFiles()), recipe, out)
        assert verify(out) == []
