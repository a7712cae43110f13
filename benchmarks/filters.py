"""Compare the cost of filtering candidate pairs with a loop that measures them one by one.

    python benchmarks/filters.py [--peer FOLDER] [--json benchmarks/filters.json]

Candidates of a few sources, and CLIP and DINOv2 in the size of UltraEdit's with random weights, are
generated. The limits of six metrics are at a common quantile of the loop's values, so that a fifth
of the pairs is kept. The runs alternate, each in its own process with equal threads; seconds are
without the loading of networks. What is kept must be the same. With FOLDER, UltraEdit's released
similarity module (`clip_similarity.py`) is a second loop.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from editloop.schema import Json
from filters_world import FilterWorld, make_filter_world, specs
from measuring import machine, measured

_HERE = Path(__file__).parent
_KEPT = 0.2
_NEAR = {"fp32": 1e-4, "bf16": 3e-3}  # of a limit: where a value may fall on either side

_Values = Mapping[str, Mapping[str, float]]  # by pair and metric


def main() -> None:
    """Make the data, measure, print the figures, and write JSON if requested."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        encoders = options.clip, options.dinov2
        world = make_filter_world(
            Path(folder), options.sources, options.candidates, options.size, encoders
        )
        found = _found(Path(folder), world, options)
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if wrong := {name: each for name, each in found["differently_kept"].items() if each}:
        raise SystemExit(f"kept differently, not near a limit: {wrong}")


def _found(folder: Path, world: FilterWorld, options: argparse.Namespace) -> dict[str, Json]:
    load = [os.getloadavg()[0]]
    loop = ["filters_loop.py", str(world.data), world.clip, world.dinov2]
    first = _run(folder, options.threads, loop)
    limits = quantile_limits(first["values"])
    rows: dict[str, list[dict[str, Json]]] = {"loop": [first]}
    for repeat in range(options.repeats):
        if repeat:
            rows["loop"].append(_run(folder, options.threads, loop))
        if options.peer:
            rows.setdefault("released", []).append(
                _run(folder, options.threads, [*loop, str(options.peer)])
            )
        for precision in options.precisions:
            made = _ours(folder, world, options.threads, precision, limits)
            rows.setdefault(precision, []).append(made)
    loops = {name for name in rows if name not in options.precisions}
    steady = {
        name: statistics.median(each["steady"] for each in made) for name, made in rows.items()
    }
    return {
        "machine": {**machine(options.threads), "load_average": [*load, os.getloadavg()[0]]},
        "pairs": len(first["values"]),
        "sources": options.sources,
        "size": options.size,
        "repeats": options.repeats,
        "limits": limits,
        "kept": len(_kept(first["values"], limits)),
        "steady": {name: round(seconds, 3) for name, seconds in steady.items()},
        "load": {name: round(made[0]["load"], 3) for name, made in rows.items()},
        "peak": {name: made[0]["peak"] for name, made in rows.items()},
        "encoded": {name: rows[name][0]["counts"] for name in options.precisions},
        "times_as_fast": {
            precision: {name: round(steady[name] / steady[precision], 2) for name in sorted(loops)}
            for precision in options.precisions
        },
        "differently_kept": {
            name: [
                pair
                for made in rows[name]
                for pair in _different(_names(made, limits), first["values"], limits, name)
            ]
            for name in rows
        },
    }


def quantile_limits(values: _Values) -> dict[str, float]:
    """Return limits at a common quantile of each metric, so that a fifth of the pairs is kept."""
    names = list(next(iter(values.values())))
    columns = {name: [each[name] for each in values.values()] for name in names}
    limits: dict[str, float] = {}
    for quantile in np.linspace(0, 1, 4 * len(values) + 1):
        limits = {name: float(np.quantile(column, quantile)) for name, column in columns.items()}
        if len(_kept(values, limits)) <= _KEPT * len(values):
            break
    return limits


def _kept(values: _Values, limits: Mapping[str, float]) -> list[str]:
    return [
        pair
        for pair, each in values.items()
        if all(each[name] >= limit for name, limit in limits.items())
    ]


def _names(made: Mapping[str, Json], limits: Mapping[str, float]) -> list[str]:
    """Return what a run kept; a loop keeps by its values."""
    names: list[str] = made["kept"] if "kept" in made else _kept(made["values"], limits)
    return names


def _different(
    kept: Sequence[str], values: _Values, limits: Mapping[str, float], name: str
) -> list[str]:
    """Return the pairs kept differently from the loop, of which no value is near its limit."""
    near = _NEAR.get(name, _NEAR["fp32"])
    return [
        pair
        for pair in sorted(set(kept) ^ set(_kept(values, limits)))
        if all(abs(values[pair][metric] - limit) > near for metric, limit in limits.items())
    ]


def _ours(
    folder: Path, world: FilterWorld, threads: int, precision: str, limits: Mapping[str, float]
) -> dict[str, Json]:
    rules = folder / "rules.json"
    metrics = specs(world.clip, world.dinov2, precision)
    stated = [{"metric": spec, "least": limits[name]} for name, spec in metrics.items()]
    rules.write_text(json.dumps(stated), encoding="utf-8")
    cache = folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    return _run(folder, threads, ["filters_ours.py", str(world.data), str(cache), str(rules)])


def _run(folder: Path, threads: int, script: Sequence[str]) -> dict[str, Json]:
    told = folder / "told.json"
    command = [sys.executable, str(_HERE / script[0]), str(told), *script[1:]]
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    fixed = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment = {**dict.fromkeys(names, str(threads)), **fixed}
    done = measured(command, environment, folder / "log")
    facts: dict[str, Json] = json.loads(told.read_bytes())
    return {**facts, "peak": done.peak}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=Path, help="folder with the released clip_similarity.py")
    parser.add_argument("--sources", type=int, default=3)
    parser.add_argument("--candidates", type=int, default=10, help="pairs of each source")
    parser.add_argument("--size", type=int, default=512, help="side of the pictures in pixels")
    parser.add_argument("--precisions", nargs="+", choices=("fp32", "bf16"), default=("fp32",))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--clip", help="a CLIP instead of one with random weights")
    parser.add_argument("--dinov2", help="a DINOv2 instead of one with random weights")
    parser.add_argument("--folder", type=Path, help="temporary folder with 4 GB of free space")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
