"""Compare the cost of an edit with diffusers' pipeline, with equal weights, threads and seeds.

    python benchmarks/edit.py [--json benchmarks/edit.json]

The model is an InstructPix2Pix in Stable Diffusion 1.5's true size with random weights, unless
`--model` names a pipeline's folder. Our editor and diffusers' pipeline run in separate processes,
two at a time, and alternate. So does our lossy mode, whose picture is compared with the exact one.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import IO

import numpy as np

from edit_world import make_model, make_picture
from editloop.schema import Json
from measuring import machine

# diffusers with its default settings and tuned, each paired with ours.
PAIRS = ("fp32/fp32", "fp32/bf16", "bf16/bf16")
GUIDANCES = (1.5, 1.0)
LOSSY = "reused-guidance"
TIMES = ("seconds", "processor", "step_seconds", "step_processor")
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class _Worker:
    process: subprocess.Popen[str]
    answers: IO[str]

    def edit(self, out: Path, **settings: Json) -> dict[str, Json]:
        """Make one edit; return its costs."""
        assert self.process.stdin is not None
        asked = json.dumps({"settings": settings, "out": str(out)})
        print(asked, file=self.process.stdin, flush=True)
        return self.answer()

    def answer(self) -> dict[str, Json]:
        line = self.answers.readline()
        if not line:
            raise SystemExit(f"the worker exited with {self.process.wait()}")
        told: dict[str, Json] = json.loads(line)
        return told


def main() -> None:
    """Make the model, measure, print a table, and write JSON if requested."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        options.model = options.model or make_model(folder / "model")
        make_picture(folder / "picture.png", options.size)
        pairs = [_pair(folder, *pair.split("/"), options) for pair in options.pairs]
    found = {
        "machine": {**machine(options.threads), "load": os.getloadavg()},
        "size": options.size,
        "steps": options.steps,
        "repeats": options.repeats,
        "pairs": pairs,
    }
    print(_table(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _pair(folder: Path, peer: str, ours: str, options: argparse.Namespace) -> dict[str, Json]:
    """Measure ours and diffusers' pipeline alternately, and the difference of their pictures."""
    rows: dict[str, list[dict[str, Json]]] = {}
    with (
        _started("diffusers", folder, peer, options) as theirs,
        _started("ours", folder, ours, options) as own,
    ):
        loaded = {"diffusers": theirs.answer()["loaded"], "ours": own.answer()["loaded"]}
        for repeat in range(options.repeats):
            for guidance in GUIDANCES:
                asked = [("ours", own)]
                if guidance != 1 or repeat == 0:  # diffusers computes the same for both
                    asked.insert(0, ("diffusers", theirs))
                for name, worker in asked:
                    row = f"{name}@{guidance}"
                    made = worker.edit(folder / f"{row}.npy", image_guidance=guidance)
                    rows.setdefault(row, []).append(made)
            made = own.edit(
                folder / f"{LOSSY}.npy", image_guidance=GUIDANCES[0], acceleration=LOSSY
            )
            rows.setdefault(LOSSY, []).append(made)
    return {
        "diffusers": peer,
        "ours": ours,
        "loaded": loaded,
        "rows": {name: _summary(each) for name, each in rows.items()},
        "apart": {
            str(scale): _apart(folder, f"diffusers@{scale}", f"ours@{scale}") for scale in GUIDANCES
        },
        "lossy": {LOSSY: _apart(folder, f"ours@{GUIDANCES[0]}", LOSSY)},
        "load": os.getloadavg()[0],
    }


@contextmanager
def _started(
    name: str, folder: Path, precision: str, options: argparse.Namespace
) -> Iterator[_Worker]:
    given = [options.model, folder / "picture.png", precision, options.steps]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(options.threads))
    with subprocess.Popen(
        [sys.executable, str(_HERE / "edit_worker.py"), name, *map(str, given)],
        env={**os.environ, **threads, "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield _Worker(process, process.stdout)
        assert process.stdin is not None
        process.stdin.close()


def _summary(rows: list[dict[str, Json]]) -> dict[str, Json]:
    medians = {name: median(row[name] for row in rows) for name in TIMES}
    return {**medians, "rows": rows[0]["rows"], "every": [row["seconds"] for row in rows]}


def _apart(folder: Path, *names: str) -> dict[str, Json]:
    """Return the difference of two pictures in 255ths, and the PSNR in dB (None if equal)."""
    pictures = [np.load(folder / f"{name}.npy").astype(int) for name in names]
    difference = np.abs(pictures[0] - pictures[1])
    squares = float((difference**2).mean())
    return {
        "max": int(difference.max()),
        "mean": float(difference.mean()),
        "psnr": 10 * math.log10(255**2 / squares) if squares else None,
    }


def _table(found: dict[str, Json]) -> str:
    """Return ratios to diffusers' pipeline, and to our own edit with both guidance scales."""
    lines = [
        f"{found['size']} px, {found['steps']} steps, medians of {found['repeats']}; "
        f"ratios by clock and by processor",
        f"{'diffusers':>9} {'ours':>5} {'image':>5} {'s':>7} {'to diffusers':>12} "
        f"{'to image 1.5':>12} apart",
    ]
    for pair in found["pairs"]:
        theirs, both = (pair["rows"][f"{name}@{GUIDANCES[0]}"] for name in ("diffusers", "ours"))
        for guidance in GUIDANCES:
            row = pair["rows"][f"ours@{guidance}"]
            lines.append(
                f"{pair['diffusers']:>9} {pair['ours']:>5} {guidance:>5} {row['seconds']:7.1f} "
                f"{_ratios(theirs, row)} {_ratios(both, row)} "
                f"{pair['apart'][str(guidance)]['max']}"
            )
        lines.append(_lossy(pair))
    return "\n".join(lines)


def _ratios(base: dict[str, Json], row: dict[str, Json]) -> str:
    clock, processor = (base[name] / row[name] for name in TIMES[:2])
    return f"{clock:5.2f} {processor:6.2f}"


def _lossy(pair: dict[str, Json]) -> str:
    """Return the comparison of the lossy mode with our exact one."""
    exact, row, apart = (
        pair["rows"][f"ours@{GUIDANCES[0]}"],
        pair["rows"][LOSSY],
        pair["lossy"][LOSSY],
    )
    saved = [exact[name] / row[name] for name in TIMES[:2]]
    psnr = "none" if apart["psnr"] is None else f"{apart['psnr']:.1f} dB"
    return (
        f"{LOSSY}: {row['seconds']:.1f} s, {saved[0]:.2f} and {saved[1]:.2f} times the pace of the "
        f"exact mode, {row['rows']} rows for {exact['rows']}; apart from its picture: max "
        f"{apart['max']}, mean {apart['mean']:.2f}, PSNR {psnr}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a pipeline's folder")
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=PAIRS, help="diffusers/ours")
    parser.add_argument("--size", type=int, default=256, help="side of the picture in pixels")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, help="temporary folder with 2 GB of free space")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
