"""A small world of edits whose outcome is known: an editor that fails by its seeds, and a judge.

Run as a script, `python attempts_world.py OUT URL KILLS`, it builds the data set and is killed
KILLS times on the way, each time right before a change of the disk (as `kernel_crash` does).
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from editloop.chat.fake.request import FakeRequest
from editloop.images.codec import decode, encode_jpeg
from editloop.kernel.build import BuildReport, Options, build
from editloop.kernel.sample_steps import SampleMap
from editloop.loop.build_steps import build_specs
from editloop.loop.recipe import Recipe
from editloop.runtime.seeding import derive_seed
from editloop.schema import EditOutcome, EditRequest, EditSample, Pixels, Unedited
from editloop.settings import validate
from editloop.storage.files import Files
from editloop.storage.locks import lock
from kernel_faults import CHANGES, FaultyFiles, UnsyncedFiles, die

__all__ = ["CANDIDATES", "SEED", "TRIES", "Made", "answer", "made_of", "make", "names", "painted"]

SEED, TRIES, CANDIDATES = 4, 3, 2
FAULTS = ("refused", "unchanged", "shifted", "wrong", "right")
_SIDE, _PHOTOS = 256, 4
_MODULE = "attempts_world"  # also if this file runs as a script


class Ask(SampleMap):
    """Gives every sample the instruction."""

    adds = frozenset({"instruction"})

    def change(self, sample: EditSample) -> EditSample:
        return replace(sample, instruction="paint the middle red")


def painted(image: Pixels, channel: int) -> Pixels:
    """Return a picture whose middle is painted in a colour: 0 is red, 2 is blue."""
    colour = np.full(3, -50.0)
    colour[channel] = 90.0
    edited = image.astype(np.float64)
    edited[_middle(image)] += colour
    return edited.clip(0, 255).astype(np.uint8)


def _middle(image: Pixels) -> tuple[slice, slice]:
    height, width = image.shape[:2]
    return slice(height // 3, 2 * height // 3), slice(width // 3, 2 * width // 3)


class Planted:
    """An editor that refuses, copies, shifts, takes a wrong colour, or is right, by its seed."""

    name = "planted"
    fingerprint = "planted-1"

    def edit(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: EditRequest) -> Pixels | Unedited:
        fault = fault_of(request.seed)
        if fault == "refused":
            return Unedited("refused")
        if fault == "unchanged":
            return decode(encode_jpeg(request.image, 90))
        right = painted(request.image, 2 if fault == "wrong" else 0)
        return np.roll(right, 5, axis=1) if fault == "shifted" else right


def fault_of(seed: int) -> str:
    return FAULTS[seed % len(FAULTS)]


@dataclass(frozen=True)
class Made:
    """What becomes of one sample: its candidates in order (id, number, fault), and the kept one."""

    candidates: list[tuple[str, int, str]]
    kept: str | None

    @property
    def attempts(self) -> dict[str, tuple[int, EditOutcome, bool]]:
        """The rows to find in the table of attempts."""
        outcomes = {"unchanged": EditOutcome.UNCHANGED, "right": EditOutcome.EDITED}
        return {
            name: (number, outcomes.get(fault, EditOutcome.WRONG), name == self.kept)
            for name, number, fault in self.candidates
        }


def made_of(name: str) -> Made:
    """Return the truth about a sample, from the seeds alone."""
    found: list[tuple[str, int, str]] = []
    for at in range(TRIES):
        for number in range(1, CANDIDATES + 1):
            own = f"{name}/try-{at + 1}/{number}"
            fault = fault_of(derive_seed(SEED, "edit", own, 1))
            found.append((own, at * CANDIDATES + number, fault))
        right = [own for own, _, fault in found if fault == "right"]
        if right:
            return Made(found, right[0])
    return Made(found, None)


def answer(asked: FakeRequest) -> str:
    """Return the judge's reply: edited if the middle has become redder, else wrong."""
    source, edited = asked.pictures
    change = (edited.astype(np.float64) - source)[_middle(source)].mean(axis=(0, 1))
    red = change[0] > 20 and change[2] < 0
    return json.dumps({"why": "as seen", "outcome": 2 if red else 1})


def names() -> list[str]:
    """Return the ids of the source's pictures."""
    (source,), _ = build_specs(_recipe("", Path()))
    return [item.id for item in source.create().items()]


def make(out: Path, url: str, files: Files | None = None) -> BuildReport:
    """Build the data set: edit, verify, try again, keep the best one."""
    sources, steps = build_specs(_recipe(url, out.with_suffix(".db")))
    options = Options(workers=0, files=files or UnsyncedFiles())
    with lock(out):
        return build(sources, steps, out=out, seed=SEED, shard_size=2, options=options)


def _recipe(url: str, ledger: Path) -> Recipe:
    judge = {
        "kind": "vlm", "target": "fake", "base_url": url, "rubrics": "outcome",
        "ledger": str(ledger),
    }  # fmt: skip
    tried: list[dict[str, Any]] = [
        {"kind": "edit", "editor": f"python:{_MODULE}:Planted", "candidates": CANDIDATES},
        {"kind": "verify", "judge": judge},
    ]
    content = {
        "name": "attempts",
        "seed": SEED,
        "sources": [{"kind": "photos", "size": _SIDE, "train": _PHOTOS, "heldout": 0}],
        "build": [
            {"name": "ask", "kind": f"{_MODULE}:Ask"},
            {"retry": {"times": TRIES - 1, "steps": tried}},
            {"kind": "best", "by": "outcome"},
        ],
    }
    return validate(Recipe, content, where="attempts")


def _interrupted(out: Path, url: str, kills: int) -> int:
    """Kill builds at random changes of the disk until one ends; returns how many were killed."""
    chance = random.Random(0)
    for number in range(kills):
        at = chance.randrange(8, 60)
        child = os.fork()
        if not child:
            code = 1
            try:
                make(out, url, files=FaultyFiles(at, die, kinds=CHANGES))
                code = 0
            finally:
                os._exit(code)
        status = os.waitpid(child, 0)[1]
        if os.WIFEXITED(status):
            if os.WEXITSTATUS(status):
                raise RuntimeError("the build failed")
            return number
    return kills


if __name__ == "__main__":
    print(_interrupted(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
