"""Compare the time of an evaluation in one worker process with that in several.

    python benchmarks/evaluate_workers.py [--workers 2] [--json benchmarks/evaluate_workers.json]

A split in MagicBrush's layout and an editor's pictures for it are generated, and evaluated by pixel
metrics, which are bound by the processor. The runs alternate; each is a complete evaluation in its
own process, from reading the data to the report. All of them must publish the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from editloop.schema import Json
from evaluate_world import World
from measuring import machine, measured

METRICS = "l1,l2,ssim=pixels:ssim,ssim7=pixels:ssim7,psnr=pixels:psnr"
_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}


def main() -> None:
    """Make the test data, measure, print the times, and write JSON if requested."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        world = World(Path(folder), "", "", options.sessions).grown(1, options.size)
        found = _found(world, options)
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if not found["same_bytes"]:
        raise SystemExit("the number of workers changed the results")


def _found(world: World, options: argparse.Namespace) -> dict[str, Json]:
    counts = (1, options.workers)
    load = [os.getloadavg()[0]]
    seconds: dict[int, list[float]] = {count: [] for count in counts}
    hashes = set()
    for _ in range(options.repeats):
        for count in counts:
            out = world.folder / "out"
            shutil.rmtree(out, ignore_errors=True)
            command = _command(world, out, count)
            seconds[count].append(measured(command, _ONE_THREAD, world.folder / "log").seconds)
            hashes.add(_hash(out))
    medians = {count: statistics.median(found) for count, found in seconds.items()}
    return {
        "machine": {**machine(1), "load_average": [*load, os.getloadavg()[0]]},
        "sessions": world.sessions,
        "pairs": world.pairs,
        "size": options.size,
        "seconds": {str(count): found for count, found in seconds.items()},
        "speedup": medians[1] / medians[options.workers],
        "same_bytes": len(hashes) == 1,
    }


def _command(world: World, out: Path, workers: int) -> list[str]:
    own = ["--data", str(world.data), "--editor", f"mine=recorded:{world.outputs}"]
    return [
        *(sys.executable, "-m", "editloop", "evaluate", "--protocol", "magicbrush", *own),
        *("--metrics", METRICS, "--out", str(out), "--workers", str(workers)),
    ]


def _hash(out: Path) -> str:
    digest = hashlib.sha256()
    for path in (out / "results.json", *sorted((out / "evaluation").rglob("*.*"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=160)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
