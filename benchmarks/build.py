"""Measure the darkroom's speed in triplets per second, and its memory as the data set grows.

    python benchmarks/build.py [--json benchmarks/build.json]

Each row is one complete build by `editloop run` in its own process, with two workers: listing,
crops, edits, faults, PNG encoding, commits and publishing. Memory is the peak resident size of one
process, and of all workers together at most.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from measuring import machine, measured

EDITLOOP = (sys.executable, "-c", "from editloop.cli import main; main()")
RECIPE = """
name: benchmark
sources: [{{kind: photos, size: {size}, train: {count}, heldout: 0}}]
build: [{{kind: darkroom}}]
"""
ROWS = [(64, 1000), (64, 10000), (512, 100), (512, 1000)]  # size in px, photos
WORKERS = 2


def measure(size: int, count: int) -> dict[str, float]:
    """Build from `count` photos of `size` px; return triplets, seconds and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.yaml"
        recipe.write_text(RECIPE.format(size=size, count=count), encoding="utf-8")
        out = Path(folder) / "run"
        command = [*EDITLOOP, "run", str(recipe), "--out", str(out), "--workers", str(WORKERS)]
        done = measured(command, {}, Path(folder) / "log")
        built = json.loads((out / "results.json").read_text())["build"]["splits"]["train"]["out"]
    return {
        "size": size,
        "triplets": built,
        "seconds": round(done.seconds, 2),
        "triplets_per_second": round(built / done.seconds, 1),
        "peak_mib": round(done.peak / 2**20),
    }


def main() -> None:
    """Measure every row, print a table, and write JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    print(f"{'px':>5} {'triplets':>9} {'seconds':>8} {'per second':>11} {'peak MiB':>9}")
    for size, count in ROWS:
        row = measure(size, count)
        rows.append(row)
        print(
            "{size:5} {triplets:9} {seconds:8} {triplets_per_second:11} {peak_mib:9}".format(**row)
        )
    if options.json:
        text = json.dumps({"machine": machine(1), "workers": WORKERS, "rows": rows}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
