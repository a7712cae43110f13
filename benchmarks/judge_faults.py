"""Measure the cost of server faults when judging, and check that they change no result.

    python benchmarks/judge_faults.py [--json benchmarks/judge_faults.json] [--pairs 1000]

`editloop judge` judges darkroom edits in three perspectives, one question each. The fake model
server knows their truth. Four runs: without faults; with a fault on 5% of the requests (429 with
and without Retry-After, 500, no answer, a reset, truncated JSON, a refusal); the same once more;
and killed in the middle (SIGKILL to all processes), then run again. The published data must be the
same, byte for byte; every request must be counted; only requests in flight may be repeated.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from editloop.chat.fake.faults import MIXED, Fault, Schedule, at_random
from editloop.chat.fake.request import FakeRequest
from editloop.chat.fake.server import FakeServer, FakeSettings
from editloop.chat.ledger import Ledger
from editloop.chat.messages import ReplyError
from editloop.judges.fake.truth import truth_answers
from editloop.judges.judge_data import judge_usage
from editloop.judges.rubrics import read_rubric
from editloop.judges.verdicts import read_scores
from editloop.loop import run as loop
from editloop.loop.recipe import Recipe
from editloop.schema import PERSPECTIVES, EditSample, Unscored
from editloop.settings import validate
from editloop.storage.manifests import find_manifest
from editloop.storage.samples import read_samples
from measuring import machine

WORKERS, CONCURRENCY = 2, 16
PATIENCE = 120.0  # seconds to wait for a reply while the server computes the truth
TIMEOUT = 5.0  # seconds to wait for a reply after that
CUT = 0.4  # share of the questions asked before the kill


@dataclass
class Line:
    """A schedule of faults that records its actions by the request's body."""

    faults: Schedule
    whole: Counter[str] = field(default_factory=Counter)  # complete replies

    def __call__(self, request: FakeRequest) -> Fault | None:
        fault = self.faults(request)
        if fault in (None, Fault.MALFORMED):
            self.whole[request.digest] += 1
        return fault

    @property
    def repeated(self) -> int:
        """The number of complete replies to questions that already had one."""
        return sum(count - 1 for count in self.whole.values())


@dataclass
class World:
    """The edits, their truth, and the folders of the runs."""

    folder: Path
    data: Path
    answers: Callable[[FakeRequest], str]
    pairs: int
    rate: float

    @property
    def questions(self) -> int:
        return self.pairs * len(PERSPECTIVES)

    def line(self, rate: float) -> Line:
        return Line(at_random(rate, 1, MIXED))

    def server(self, line: Line) -> FakeServer:
        return FakeServer(self.answers, faults=line, settings=FakeSettings(retry_after="1"))

    def spec(self, server: FakeServer, name: str, timeout: float = TIMEOUT) -> str:
        ledger = self.folder / f"{name}.sqlite"
        options = f"ledger={ledger}&concurrency={CONCURRENCY}&timeout={timeout}"
        return f"vlm:fake?base_url={server.base_url}&{options}"

    def start(self, spec: str, name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "from editloop.cli import main; main()", "judge"]
        command += [str(self.data), "--judge", spec, "--out", str(self.folder / name)]
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [*command, "--workers", str(WORKERS)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, spec: str, name: str) -> float:
        """Judge to the end; return the seconds."""
        started = time.perf_counter()
        if self.start(spec, name).wait():
            sys.exit((self.folder / f"{name}.log").read_text())
        return time.perf_counter() - started

    def content(self, name: str) -> str:
        """Return a hash of the published edits with their scores."""
        files = sorted((self.folder / name / "data").glob("*.parquet"))
        return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()

    def samples(self, name: str) -> list[EditSample]:
        return list(read_samples(self.folder / name / "data", "train"))


def make_world(folder: Path, pairs: int, size: int, rate: float) -> World:
    """Build darkroom edits, some with faults."""
    recipe = {
        "name": "edits",
        "sources": [{"kind": "photos", "size": size, "train": pairs, "heldout": 0}],
        "build": [{"kind": "darkroom"}],
    }
    data = folder / "edits"
    loop.run(validate(Recipe, recipe, where="benchmark"), data, only=("build",), workers=WORKERS)
    made = list(read_samples(data / "data", "train"))
    return World(folder, data, truth_answers(made), len(made), rate)


def plain(world: World) -> dict[str, Any]:
    """Judge without server faults: the reference of the other runs."""
    with world.server(world.line(0.0)) as server:
        spec = world.spec(server, "plain", PATIENCE)
        seconds = world.run(spec, "plain")
        counts = judge_usage(spec, world.folder / "plain")
    assert server.seen.requests == counts.attempts == counts.calls == world.questions
    check_ends(world, "plain")
    return {"seconds": round(seconds, 1), "requests": counts.attempts}


def faulty(world: World) -> dict[str, Any]:
    """Judge with server faults; then again, and in another folder."""
    line = world.line(world.rate)
    with world.server(line) as server:
        spec = world.spec(server, "faulty")
        seconds = world.run(spec, "faulty")
        counts, seen, met = (
            judge_usage(spec, world.folder / "faulty"),
            server.seen,
            Counter(line.whole),
        )
        requests, faults = seen.requests, dict(seen.faults)
        again = world.run(spec, "faulty")
        world.run(spec, "other")
        more = seen.requests - requests
    malformed = faults.get(Fault.MALFORMED, 0)
    assert (counts.attempts, counts.calls) == (requests, world.questions + malformed)
    assert (more, line.repeated, met) == (0, 0, line.whole)
    assert check_ledger(world.folder / "faulty.sqlite", world.questions, malformed)
    check_ends(world, "faulty")
    assert world.content("plain") == world.content("faulty") == world.content("other")
    return {
        "seconds": round(seconds, 1),
        "requests": requests,
        "attempts_counted": counts.attempts,
        "faults": {str(kind): count for kind, count in sorted(faults.items())},
        "replies_kept": counts.calls,
        "same_as_without_faults": True,
        "second_run_seconds": round(again, 1),
        "second_run_requests": more,
    }


def killed(world: World) -> dict[str, Any]:
    """Kill a run in the middle, and run it again."""
    line = world.line(world.rate)
    with world.server(line) as server:
        spec = world.spec(server, "killed")
        child = world.start(spec, "killed")
        while server.seen.requests < CUT * world.questions:
            time.sleep(0.01)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        while server.busy_now > server.seen.faults[Fault.TIME_OUT]:  # timed-out requests never end
            time.sleep(0.01)
        before, kept = server.seen.requests, Ledger(world.folder / "killed.sqlite").count()
        world.run(spec, "killed")
        counts = judge_usage(spec, world.folder / "killed")
    in_flight = WORKERS * CONCURRENCY
    assert line.repeated <= in_flight
    assert server.seen.requests <= counts.attempts <= server.seen.requests + in_flight
    check_ends(world, "killed")
    assert world.content("plain") == world.content("killed")
    return {
        "requests_before": before,
        "replies_kept_before": kept,
        "requests": server.seen.requests,
        "attempts_counted": counts.attempts,
        "replies_repeated": line.repeated,
        "in_flight_at_most": in_flight,
        "same_as_without_faults": True,
    }


def check_ends(world: World, name: str) -> None:
    """Check that every edit is published with all scores, and none is quarantined or dropped."""
    ids = [each.id for each in read_samples(world.data / "data", "train")]
    judged = world.samples(name)
    assert [each.id for each in judged] == ids
    scores = [score for each in judged for score in each.scores.values()]
    assert len(scores) == world.questions
    assert not [score for score in scores if isinstance(score, Unscored)]
    manifest = find_manifest(world.folder / name, "data")
    assert manifest is not None
    ends = [manifest.facts[key] for key in ("in", "out", "dropped", "quarantined")]
    assert ends == [world.pairs, world.pairs, 0, 0]


def check_ledger(path: Path, good: int, malformed: int) -> bool:
    """Return whether a ledger has a complete reply to each question, and else only truncated ones.

    Replies that the model truncated stay in the ledger, because they are paid for; they are parsed
    as no answer.
    """
    with_reply = Counter(map(readable, texts_in(path)))
    return with_reply == Counter({True: good, False: malformed})


def texts_in(path: Path) -> list[str]:
    """Return every reply in a ledger."""
    exported = path.with_suffix(".parquet")
    Ledger(path).export(exported)
    texts: list[str] = pq.read_table(exported, columns=["text"])["text"].to_pylist()
    return texts


def readable(text: str) -> bool:
    """Return whether a reply answers one of the questions."""
    for name in PERSPECTIVES:
        try:
            read_scores(text, read_rubric(name))
        except ReplyError:
            continue
        return True
    return False


def main() -> None:
    """Judge four times, check, print, and write JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--size", type=int, default=64, help="side of the edits in pixels")
    parser.add_argument("--rate", type=float, default=0.05, help="share of requests with a fault")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder), options.pairs, options.size, options.rate)
        found = {
            "machine": machine(1),
            "pairs": world.pairs,
            "questions": world.questions,
            "rate": options.rate,
            "without_faults": plain(world),
            "with_faults": faulty(world),
            "killed": killed(world),
        }
    text = json.dumps(found, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
