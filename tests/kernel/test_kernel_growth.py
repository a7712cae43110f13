"""Ten times the data: the same memory, and the same number of file operations to resume."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from editloop.kernel.build import Options, build
from kernel_faults import CountingFiles
from kernel_parts import source, step

pytestmark = pytest.mark.slow

_PEAK = """
import resource
import sys
from pathlib import Path
from kernel_parts import source, step
from editloop.kernel.build import Options, build
build(
    [source(count={"train": int(sys.argv[2])}, bytes=20_000)],
    [step(), step("NetworkStep", label="n")],
    out=Path(sys.argv[1]),
    options=Options(workers=0),
)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(out: Path, count: int) -> int:
    """Return the peak memory, in KiB, of a build of `count` items in its own process."""
    command = [sys.executable, "-c", _PEAK, out, str(count)]
    here = Path(__file__).parents[1]
    return int(subprocess.run(command, cwd=here, capture_output=True, check=True).stdout)


def test_memory_is_flat_over_ten_times_the_data(tmp_path: Path) -> None:
    once, tenfold = peak(tmp_path / "1", 256), peak(tmp_path / "10", 2560)
    assert tenfold <= 1.1 * once, f"{once} KiB became {tenfold} KiB"


def resumed(out: Path, count: int) -> dict[str, int]:
    """Return the file operations of a run that has nothing to do."""
    sources, steps = [source(count={"train": count}, bytes=40)], [step(fails=0)]
    build(sources, steps, out=out, shard_size=1, options=Options(workers=0))
    files = CountingFiles()
    again = build(sources, steps, out=out, shard_size=1, options=Options(workers=0, files=files))
    assert again.timings["shards"] == 0
    return files.counts


def test_a_resume_does_not_open_what_is_committed(tmp_path: Path) -> None:
    assert resumed(tmp_path / "few", 3) == resumed(tmp_path / "many", 30)


@pytest.mark.parametrize("workers", [1, 2])
def test_no_more_shards_are_in_flight_than_workers(tmp_path: Path, workers: int) -> None:
    told = []
    build(
        [source(count={"train": 12}, bytes=40)],
        [step(), step("NetworkStep", label="n")],
        out=tmp_path,
        shard_size=2,
        options=Options(workers=workers, progress=lambda _: told.append(_open_shards(tmp_path))),
    )
    assert max(told) <= 2 * workers  # those of the classes CPU and network


def _open_shards(out: Path) -> int:
    """Return the number of shards committed in their first segment but not in their last."""
    committed = [path.name.split("@")[0] for path in out.rglob("*@0.json")]
    return sum(committed.count(name) == 1 for name in set(committed))
