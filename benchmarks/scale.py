"""Compare the throughput of a Ray cluster with that of local processes on the same cores.

    python benchmarks/scale.py [--json benchmarks/scale.json]

Each row is a build of darkroom edits with one worker per core, in a process of its own, on a Ray
cluster that is started for it. The speed is that between two commits, the first of which comes
after every worker has committed twice, so it leaves out what comes before: the start of the
cluster and the workers. The engines take turns; the table shows medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from editloop.kernel.build import Options, build
from editloop.kernel.progress import Progress
from editloop.kernel.tasks import StepSpec
from measuring import machine

ENGINES = ("processes", "ray:local")
WORKERS = len(os.sched_getaffinity(0))
SIZE = 256  # px


def speed(engine: str, shards: int, shard: int) -> dict[str, float]:
    """Build once; return edits per second in the steady part, and seconds to the first commit."""
    commits: list[tuple[float, int]] = []
    begun = time.perf_counter()

    def note(progress: Progress) -> None:
        commits.append((time.perf_counter() - begun, progress.samples))

    photos = {"size": SIZE, "train": shards * shard, "heldout": 0}
    with tempfile.TemporaryDirectory() as folder:
        build(
            [StepSpec("source", "photos", "photos", photos)],
            [StepSpec("build", "darkroom", "darkroom")],
            out=Path(folder),
            shard_size=shard,
            options=Options(workers=WORKERS, engine=engine, progress=note),
        )
    commits.pop()  # the end, which makes no commit
    (start, before), (end, after) = commits[2 * WORKERS - 1], commits[-1]
    return {
        "edits_per_second": round((after - before) / (end - start), 2),
        "first_commit_seconds": round(commits[0][0], 2),
        "edits": after,
        "load": round(os.getloadavg()[0], 1),
    }


def measure(engine: str, shards: int, shard: int) -> dict[str, float]:
    """Return `speed` in a process of its own."""
    size = ["--shards", str(shards), "--shard", str(shard)]
    command = [sys.executable, __file__, "--one", engine, *size]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure each engine in turn, print a table, and write JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--shards", type=int, default=40)
    parser.add_argument("--shard", type=int, default=16, help="photos in a shard")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", choices=ENGINES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(speed(options.one, options.shards, options.shard)))
        return
    runs: dict[str, list[dict[str, float]]] = {engine: [] for engine in ENGINES}
    for _ in range(options.repeats):
        for engine, rows in runs.items():
            rows.append(measure(engine, options.shards, options.shard))
    middle = {
        engine: {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        for engine, rows in runs.items()
    }
    print(f"{'engine':<10} {'edits/s':>8} {'first commit, s':>16}")
    for engine, row in middle.items():
        print(f"{engine:<10} {row['edits_per_second']:8} {row['first_commit_seconds']:16}")
    local, ray = (middle[engine]["edits_per_second"] for engine in ENGINES)
    print(f"ray / processes: {ray / local:.2f}")
    if options.json:
        content = {
            "machine": machine(1), "workers": WORKERS, "size": SIZE,
            "ratio": round(ray / local, 3), "medians": middle, "runs": runs,
        }  # fmt: skip
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
