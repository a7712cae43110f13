"""Compare the cost of an InstructPix2Pix training step with diffusers' example script.

    python benchmarks/train.py [--peer SCRIPT] [--json benchmarks/train.json]

Stable Diffusion 1.5 in true size with random weights trains on crops of photos. Each run is a few
steps in its own process, the first of which warms up. Ours and the script (SCRIPT is its
`train_instruct_pix2pix.py`; a stand-in replaces a missing torchvision) alternate, with equal
threads, batches and optimiser. The losses are compared too, for equal random draws.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from editloop.schema import Json
from measuring import machine
from train_flops import flops_of
from train_runs import Runs
from train_table import PEER, cache_facts, shown, summary
from train_world import TrainWorld, make_train_world

PRECISIONS = ("fp32", "bf16")
LIMIT = 1e-4  # limit of the difference between losses, in fp32


def main() -> None:
    """Make the training data, measure, print a table, and write JSON if requested."""
    options = _options()
    with _place(options.folder) as folder:
        world = make_train_world(Path(folder), options.base, options.samples, options.size)
        found = _found(world, options)
    print(shown(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _found(world: TrainWorld, options: argparse.Namespace) -> dict[str, Json]:
    """Return all measurements of one world (base model and data)."""
    flops = flops_of(world.base, world.size)
    runs = _runs(world, options)
    rows = {name: summary(each, options.batch, flops) for name, each in runs.items()}
    found: dict[str, Json] = {
        "machine": machine(options.threads),
        **{name: vars(options)[name] for name in ("size", "batch", "steps", "repeats", "average")},
        "optimiser": "AdamW",
        "flops": flops,
        "rows": rows,
        "caches": _caches(runs, rows, options.batch),
        "loss": _loss(world),
        "limit": LIMIT,
    }
    if options.peer:
        found["standins"] = runs[f"{PEER} {options.precisions[0]}"][0]["standins"]
        found["ratios"] = _ratios(rows)
    return found


def _runs(world: TrainWorld, options: argparse.Namespace) -> dict[str, list[dict[str, Json]]]:
    """Run every kind of training, alternating."""
    found: dict[str, list[dict[str, Json]]] = {}
    runs = Runs(options.threads, options.batch, options.steps, options.average)
    for _ in range(options.repeats):
        for precision in options.precisions:
            _note(found, precision, runs.ours(world, precision))
            if options.peer:
                made = runs.peer(world, options.peer, precision)
                _note(found, f"{PEER} {precision}", made)
    return found


def _note(found: dict[str, list[dict[str, Json]]], name: str, made: dict[str, Json]) -> None:
    """Keep a run, and print its progress to stderr."""
    found.setdefault(name, []).append(made)
    steps = ", ".join(f"{seconds:.2f}" for seconds in made["steps"])
    print(f"{name}: {steps} s; load {made['load']:.1f}", file=sys.stderr, flush=True)


def _caches(
    runs: dict[str, list[dict[str, Json]]], rows: dict[str, Json], batch: int
) -> dict[str, Json]:
    """Return the latent caches that our first runs built."""
    found = {}
    for name, (first, *_) in runs.items():
        if first.get("cache", {}).get("samples"):
            peer = rows.get(f"{PEER} {name}", {}).get("step")
            found[name] = cache_facts(first["cache"], rows[name]["step"], peer, batch)
    return found


def _ratios(rows: dict[str, Json]) -> dict[str, float]:
    """Return the speed-up of each of ours over each of the peer's."""
    return {
        f"{ours} than {peer}": rows[peer]["step"] / rows[ours]["step"]
        for ours in rows
        for peer in rows
        if peer.startswith(PEER) and not ours.startswith(PEER)
    }


def _loss(world: TrainWorld) -> dict[str, Json]:
    """Compute our loss and the loss by the script's formula in a separate process."""
    told = world.folder / "loss.json"
    script = str(Path(__file__).with_name("train_loss.py"))
    given = [str(told), str(world.base), str(world.run), str(world.size)]
    subprocess.run([sys.executable, script, *given], check=True)
    found: dict[str, Json] = json.loads(told.read_bytes())
    return found


def _place(folder: Path | None) -> tempfile.TemporaryDirectory[str] | nullcontext[Path]:
    """Yield the given folder, or a temporary one."""
    if folder is None:
        return tempfile.TemporaryDirectory()
    folder.mkdir(parents=True, exist_ok=True)
    return nullcontext(folder)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=Path, help="diffusers' train_instruct_pix2pix.py")
    parser.add_argument("--base", type=Path, help="a Stable Diffusion instead of a random one")
    parser.add_argument("--size", type=int, default=256, help="side of the pictures in pixels")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument(
        "--steps", type=int, default=4, help="steps of each run; the first warms up"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--average", action="store_true", help="keep a running mean of weights")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--folder", type=Path, help="new folder with 6 GB of free space; it is kept"
    )
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
