"""Complete evaluations, each in its own process: ours and the released evaluator's."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from editloop.schema import Json
from evaluate_world import World
from measuring import Measured, measured

__all__ = ["EDITOR", "Runs"]

EDITOR = "mine"
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs evaluations of worlds with equal threads and on the same device."""

    threads: int
    device: str
    peer: Path | None

    def ours(self, world: World, precision: str, out: Path) -> dict[str, Json]:
        """Evaluate into a run folder, or resume; return the costs."""
        paths = [world.card, world.data, world.outputs, out]
        done, facts = self._run(world, "evaluate_ours.py", [*map(str, paths), precision])
        times = json.loads((out / "timings.json").read_bytes())["evaluation/magicbrush"]
        edits = sum(each["edits"] for each in times["editors"].values())
        encoding = {"encoding": facts["encoding"]}
        counts = {**facts["counts"], **times["encodes"], "edits": edits}
        return {**_times(done, facts), **encoding, **counts}

    def released(self, world: World, out: Path) -> dict[str, Json]:
        """Run the released evaluator, which writes its numbers into a folder; return the costs."""
        given = {
            "--device": self.device,
            "--generated_path": world.outputs,
            "--gt_path": world.data / "images",
            "--caption_path": world.captions,
            "--save_path": out,
        }
        arguments = [str(part) for pair in given.items() for part in pair]
        fixed = [str(self.peer), world.clip, world.dino]
        done, facts = self._run(world, "evaluate_peer.py", [*fixed, *arguments])
        return {**_times(done, facts), **facts["counts"], "standins": facts["standins"]}

    def _run(
        self, world: World, script: str, arguments: Sequence[str]
    ) -> tuple[Measured, dict[str, Json]]:
        told = world.folder / "told.json"
        command = [sys.executable, str(_HERE / script), str(told), *arguments]
        environment = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(self.threads))
        done = measured(command, {**environment, "HF_HUB_OFFLINE": "1"}, world.folder / "log")
        facts: dict[str, Json] = json.loads(told.read_bytes())
        return done, facts


def _times(done: Measured, facts: dict[str, Json]) -> dict[str, Json]:
    """Return the seconds of the whole process, of loading, of the page, and of the rest."""
    load = facts["ready"] - done.started + facts["reading"]
    return {
        "seconds": done.seconds,
        "load": load,
        "page": facts["page"],
        "steady": done.seconds - load - facts["page"],
        "peak": done.peak,
    }
