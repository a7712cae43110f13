"""Short trainings, each in its own process: ours and the peer's."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from editloop.schema import Json
from measuring import measured
from train_world import TrainWorld

__all__ = ["DROP", "Runs"]

DROP = 0.05  # probability of dropping each condition alone, and both
_RATE = 5e-5
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Runs:
    """Trains in worlds, with equal threads, batches and numbers of steps."""

    threads: int
    batch: int
    steps: int
    average: bool

    def ours(self, world: TrainWorld, precision: str) -> dict[str, Json]:
        """Run some steps of our training; the first run in a world builds the latent cache."""
        settings = {
            "base": str(world.base),
            "size": world.size,
            "batch": self.batch,
            "learning_rate": _RATE,
            "drop": {"text": DROP, "source": DROP, "both": DROP},
            "average": 0.9999 if self.average else None,
            "precision": precision,
            "samples": 0,
        }
        arguments = [str(self.steps), str(world.run), json.dumps(settings)]
        return self._run(world, "train_ours.py", arguments)

    def peer(self, world: TrainWorld, script: Path, precision: str) -> dict[str, Json]:
        """Run some steps of diffusers' script, on the same Parquet file."""
        given = {
            "--pretrained_model_name_or_path": world.base,
            "--dataset_name": world.data,
            "--original_image_column": "source",
            "--edited_image_column": "target",
            "--edit_prompt_column": "instruction",
            "--resolution": world.size,
            "--train_batch_size": self.batch,
            "--learning_rate": _RATE,
            "--lr_warmup_steps": 0,
            "--conditioning_dropout_prob": DROP,
            "--max_train_steps": self.steps + 1,
            "--mixed_precision": {"fp32": "no"}.get(precision, precision),
            "--seed": 0,
            "--cache_dir": world.folder / "datasets",
            "--output_dir": world.folder / "peer",
        }
        arguments = [str(part) for pair in given.items() for part in pair]
        flags = ["--random_flip", *(["--use_ema"] if self.average else [])]
        fixed = [str(script), str(self.steps)]
        return self._run(world, "train_peer.py", [*fixed, *arguments, *flags])

    def _run(self, world: TrainWorld, script: str, arguments: Sequence[str]) -> dict[str, Json]:
        told = world.folder / "told.json"
        command = [sys.executable, str(_HERE / script), str(told), *arguments]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(self.threads))
        offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(world.folder / "hub")}
        load = os.getloadavg()[0]
        done = measured(command, {**threads, **offline}, world.folder / "log")
        facts: dict[str, Json] = json.loads(told.read_bytes())
        return {**_steps(facts.pop("ends"), done.started), **facts, "peak": done.peak, "load": load}


def _steps(ends: list[dict[str, Json]], started: float) -> dict[str, Json]:
    """Return the seconds of all steps but the first, which warms up, and what each step encoded."""
    first, last, count = ends[0], ends[-1], len(ends) - 1
    return {
        "before": first["time"] - started,
        "steps": _apart(ends, "time"),
        "processor": _apart(ends, "processor"),
        "pictures": (last["pictures"] - first["pictures"]) / count,
        "texts": (last["texts"] - first["texts"]) / count,
    }


def _apart(ends: list[dict[str, Json]], clock: str) -> list[float]:
    return [after[clock] - before[clock] for before, after in pairwise(ends)]
