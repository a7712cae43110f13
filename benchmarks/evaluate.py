"""Compare the cost of an evaluation by MagicBrush's protocol with its released evaluator.

    python benchmarks/evaluate.py [--peer FOLDER] [--json benchmarks/evaluate.json]

A split in MagicBrush's layout, an editor's pictures for it and encoders in true size are generated.
Each run is a complete evaluation in its own process. Ours and the released evaluator
(`image_eval.py` in FOLDER; its missing imports are replaced by stand-ins) alternate, with equal
threads.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from editloop.metrics.encoders import Precision
from editloop.schema import Json
from evaluate_differences import LIMITS, embedding_differences, number_differences
from evaluate_runs import EDITOR, Runs
from evaluate_table import shown, summary
from evaluate_world import World, make_world
from measuring import machine

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
PEER = "released"


def main() -> None:
    """Make the test data, measure, print tables, and write JSON if requested."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        encoders = options.clip, options.dino
        world = make_world(Path(folder), options.sessions, options.size, encoders)
        found = _found(world, options)
    print(shown(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _found(world: World, options: argparse.Namespace) -> dict[str, Json]:
    """Return all measurements of one world (test data with encoders)."""
    told = {**machine(options.threads), "load_average": [os.getloadavg()[0]]}
    runs = Runs(options.threads, "cuda" if told["gpu"] else "cpu", options.peer)
    rows = {name: summary(each, world.pairs) for name, each in _rows(world, runs, options).items()}
    found: dict[str, Json] = {
        "machine": told,
        "sessions": world.sessions,
        "pairs": world.pairs,
        "size": options.size,
        "repeats": options.repeats,
        "rows": rows,
        "again": _again(world, runs, options.precisions[0]),
        "growth": _growth(world, runs, options, rows[options.precisions[0]]),
        "embeddings": {name: embedding_differences(world, name) for name in options.precisions},
        "limits": LIMITS,
    }
    told["load_average"].append(os.getloadavg()[0])
    if options.peer:
        found["differences"] = {
            name: number_differences(_out(world, name, 0), EDITOR, world.folder / PEER)
            for name in options.precisions
        }
    return found


def _rows(
    world: World, runs: Runs, options: argparse.Namespace
) -> dict[str, list[dict[str, Json]]]:
    """Run every kind of evaluation, alternating."""
    rows: dict[str, list[dict[str, Json]]] = {}
    for repeat in range(options.repeats):
        for name in options.precisions:
            made = runs.ours(world, name, _out(world, name, repeat))
            rows.setdefault(name, []).append(made)
        if runs.peer is not None:
            rows.setdefault(PEER, []).append(runs.released(world, world.folder / PEER))
    return rows


def _again(world: World, runs: Runs, precision: str) -> dict[str, Json]:
    """Run an evaluation a second time; return its work, and whether its results are equal."""
    out = _out(world, precision, 0)
    before = (out / "results.json").read_bytes()
    made = runs.ours(world, precision, out)
    return {
        "seconds": made["seconds"],
        "encodes": made["rows_of_images"] + made["rows_of_texts"],
        "edits": made["edits"],
        "decodes": made["decodes"],
        "same_bytes": (out / "results.json").read_bytes() == before,
    }


def _growth(
    world: World, runs: Runs, options: argparse.Namespace, done: dict[str, Json]
) -> list[dict[str, Json]]:
    """Return time and memory of these sessions (already `done`), and of several times as many."""
    rows = [_grown(world, done)]
    if options.growth > 1:
        larger = world.grown(options.growth, options.size)
        out = world.folder / "grown"
        rows.append(_grown(larger, runs.ours(larger, options.precisions[0], out)))
    return rows


def _grown(world: World, done: dict[str, Json]) -> dict[str, Json]:
    return {
        "sessions": world.sessions,
        "steady_per_pair": done["steady"] / world.pairs,
        "peak": done["peak"],
    }


def _out(world: World, precision: str, repeat: int) -> Path:
    return world.folder / f"run-{precision}-{repeat}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=Path, help="folder with the released image_eval.py")
    parser.add_argument(
        "--sessions",
        type=int,
        default=16,
        help="number of sessions; the released evaluator needs ten",
    )
    parser.add_argument("--size", type=int, default=1024, help="side of the pictures in pixels")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--growth", type=int, default=4, help="factor of sessions in the memory test"
    )
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--clip", help="a CLIP instead of one with random weights")
    parser.add_argument("--dino", help="a DINO instead of one with random weights")
    parser.add_argument("--folder", type=Path, help="temporary folder with 2 GB of free space")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
