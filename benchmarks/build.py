"""How fast the darkroom builds triplets, and whether memory stays flat as the set grows.

    python benchmarks/build.py [--json benchmarks/build.json]

Every row is a whole `editloop run` of only the build, in a process of its own: listing, crops,
edits, faults, PNG encoding, commits and publishing, with two workers. Memory is the largest
resident size of one process and of all its workers together at most.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = """
name: benchmark
sources: [{{kind: photos, size: {size}, train: {count}, heldout: 0}}]
build: [{{kind: darkroom}}]
"""
ROWS = [(64, 1000), (64, 10000), (512, 100), (512, 1000)]  # size in px, photos
WORKERS = 2


def measure(size: int, count: int) -> dict[str, float]:
    """Build `count` photos of `size` px and report triplets, seconds and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.yaml"
        recipe.write_text(RECIPE.format(size=size, count=count), encoding="utf-8")
        out = Path(folder) / "run"
        started = time.perf_counter()
        peak = _run(["run", str(recipe), "--out", str(out), "--workers", str(WORKERS)])
        seconds = time.perf_counter() - started
        built = json.loads((out / "results.json").read_text())["build"]["splits"]["train"]["out"]
    return {
        "size": size,
        "triplets": built,
        "seconds": round(seconds, 2),
        "triplets_per_second": round(built / seconds, 1),
        "peak_mib": round(peak / 2**20),
    }


def _run(arguments: list[str]) -> int:
    """Run editloop; the peak of its and its workers' resident memory together, in bytes."""
    command = [sys.executable, "-c", "from editloop.cli import main; main()", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, _resident(process.pid))
            time.sleep(0.1)
    if process.returncode:
        raise SystemExit(process.returncode)
    return peak


def _resident(session: int) -> int:
    total = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # the process ended while we looked
            continue
        if int(fields[3]) == session:
            total += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return total


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
        machine = {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()}
        text = json.dumps({"machine": machine, "workers": WORKERS, "rows": rows}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
