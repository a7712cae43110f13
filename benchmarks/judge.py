"""Compare the speed of judging over HTTP with a sequential script, also under server faults.

    python benchmarks/judge.py [--json benchmarks/judge.json] [--repeats 5] [--calls 640]

A fake model server in its own process answers at once, or after a second. The answer depends on the
question's text, so scores can be compared. Every question shows two 512 px photos. Our side covers
everything from pixels to verdicts: encoding, requests, ledger, parsing. The peer is a common kind
of script: one call after another, a new client for each, every picture encoded again for every
question, results written at the end. Its time is proportional to the calls, so it makes fewer of
them and is reported per call. Both alternate; medians are reported, with the load of the machine.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openai

from editloop.chat.fake.faults import MIXED, Fault, at_random
from editloop.chat.fake.server import FakeServer, FakeSettings
from editloop.chat.messages import Picture
from editloop.chat.prompts import encode_picture
from editloop.images.codec import decode
from editloop.judges.rubrics import read_rubric
from editloop.judges.vlm import VlmJudge
from editloop.kernel.steps import Keep
from editloop.schema import EditedPair, Pixels, Score
from editloop.sources.photos import PhotosSource
from measuring import machine

RUBRICS = ("following", "preserving")  # both show two pictures
SIZE = 512
PHOTOS = 16
FAULTS = 0.05
KINDS = tuple(each for each in MIXED if each is not Fault.RATE_LIMITED_UNTIL)  # it orders waits
IN_FLIGHT = 32


def answer(asked: Any) -> str:
    """Return a reply in the rubric's format, with a score from the pair's number and question."""
    text = "\n".join(asked.texts)
    number = int(re.findall(r"number (\d+)", text)[-1])
    followed = "followed" in text
    key = "followed" if followed else "preserved"
    score = number % 11 / 2 if followed else number % 6
    return json.dumps({"failures": "None", "score": score, key: "yes" if score > 2 else "no"})


def serve(latency: float, faults: float) -> None:
    """Run the server's process: print its URL, then its counts when its input ends."""
    settings = FakeSettings(latency=latency)
    with FakeServer(answer, faults=at_random(faults, 1, KINDS), settings=settings) as server:
        print(server.base_url, flush=True)
        sys.stdin.read()
        print(json.dumps({"requests": server.seen.requests, "faults": server.seen.faults}))


@dataclass
class Server:
    """The server as seen by its clients; `counts` is set once it has ended."""

    url: str
    counts: dict[str, Any]


@contextmanager
def running(latency: float, faults: float = 0.0) -> Iterator[Server]:
    """Run the server in its own process."""
    command = [sys.executable, __file__, "--serve", str(latency), str(faults)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        server = Server(process.stdout.readline().strip(), {})
        yield server
        process.stdin.close()
        server.counts = json.loads(process.stdout.readline())


def pairs(count: int) -> list[EditedPair]:
    """Return distinct pairs of 512 px photos: each is shifted by a few pixels."""
    source = PhotosSource(PhotosSource.Settings(size=SIZE, train=PHOTOS, heldout=0))
    outcomes = source.load(list(source.items()))
    photos = [
        decode(outcome.samples[0].source.bytes) for outcome in outcomes if isinstance(outcome, Keep)
    ]
    return [
        EditedPair(f"p{n}", _shown(photos, n, 0), f"make it number {n}", _shown(photos, n, 1))
        for n in range(count)
    ]


def _shown(photos: list[Pixels], number: int, move: int) -> Pixels:
    return np.roll(photos[number % len(photos)], (number // len(photos), move), axis=(0, 1))


def judge_ours(server: Server, shown: list[EditedPair], ledger: Path) -> dict[str, Any]:
    """Judge all pairs at once; return the seconds and the scores."""
    settings = {"target": "fake", "base_url": server.url, "ledger": ledger, "timeout": 5.0}
    started, used = time.perf_counter(), time.process_time()
    judge = VlmJudge(
        VlmJudge.Settings(**settings, rubrics=RUBRICS, concurrency=IN_FLIGHT)  # type: ignore[arg-type]
    )
    verdicts = judge.judge(shown)
    judge.close()
    seconds = time.perf_counter() - started
    scores = [
        [each.value if isinstance(each, Score) else None for each in verdict.values()]
        for verdict in verdicts
    ]
    return {
        "seconds": seconds,
        "cpu": time.process_time() - used,
        "scores": scores,
        "attempts": judge.counts.attempts,
        "calls": judge.counts.calls,
    }


def judge_peer(server: Server, shown: list[EditedPair], out: Path) -> dict[str, Any]:
    """Ask the same questions as a sequential script does."""
    started = time.perf_counter()
    scores = []
    for pair in shown:
        row = []
        for name in RUBRICS:
            client = openai.OpenAI(api_key="none", base_url=server.url)
            reply = client.chat.completions.create(
                model="fake", messages=_plain(name, pair), temperature=0, max_tokens=1024
            )
            row.append(json.loads(reply.choices[0].message.content or "")["score"])
        scores.append(row)
    out.write_text(json.dumps(scores), encoding="utf-8")
    return {"seconds": time.perf_counter() - started, "scores": scores}


def _plain(name: str, pair: EditedPair) -> Any:
    """Return the rubric's messages as plain objects, with pictures encoded for this question."""
    rubric = read_rubric(name)
    pixels = {"source": pair.source, "edited": pair.edited}
    shown = {key: encode_picture(each, rubric.pictures) for key, each in pixels.items()}
    made = rubric.filled({"instruction": pair.instruction}, shown)
    return [{"role": each.role, "content": [_part(part) for part in each.parts]} for each in made]


def _part(part: str | Picture) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    data = base64.b64encode(part.data).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{part.media_type};base64,{data}"}}


@dataclass
class Job:
    """One row: the server's behaviour, and the number of calls of each side."""

    name: str
    latency: float
    faults: float
    calls: int
    peer_calls: int


def measure(job: Job, shown: list[EditedPair], repeats: int) -> dict[str, Any]:
    """Run both sides alternately and compare them; each run of ours has a new ledger."""
    ours, peers, again, load = [], [], [], os.getloadavg()[0]
    asked, few = shown[: job.calls // len(RUBRICS)], shown[: job.peer_calls // len(RUBRICS)]
    server = Server("", {})
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            with running(job.latency, job.faults) as server:
                ours.append(judge_ours(server, asked, Path(folder) / "ledger.db"))
                again.append(judge_ours(server, asked, Path(folder) / "ledger.db"))
            with running(job.latency) as plain:
                peers.append(judge_peer(plain, few, Path(folder) / "results.json"))
        check(ours[-1], again[-1], peers[-1], len(few))
        check_counts(ours[-1], server)
    seconds = statistics.median(run["seconds"] for run in ours)
    peer = statistics.median(run["seconds"] for run in peers) / max(job.peer_calls, 1)
    return {
        "job": job.name,
        "calls": job.calls,
        "seconds": round(seconds, 2),
        "spread": [
            round(min(r["seconds"] for r in ours), 2),
            round(max(r["seconds"] for r in ours), 2),
        ],
        "per_second": round(job.calls / seconds, 1),
        "cpu_ms_a_call": round(statistics.median(r["cpu"] for r in ours) / job.calls * 1e3, 2),
        "attempts": ours[-1]["attempts"],
        "second_run_seconds": round(statistics.median(run["seconds"] for run in again), 2),
        "second_run_attempts": again[-1]["attempts"],
        "peer_calls": job.peer_calls,
        "peer_seconds_a_call": round(peer, 4),
        "times_faster": round(peer * job.calls / seconds, 1),
        "encodes_a_call": {"ours": 2 / len(RUBRICS), "peer": 2},
        "load": [round(load, 2), round(os.getloadavg()[0], 2)],
    }


def check(ours: Any, again: Any, peer: Any, few: int) -> None:
    """Check that nothing is lost, that scores are equal, and that a second run makes no request."""
    assert all(None not in row for row in ours["scores"])
    assert ours["scores"] == again["scores"]
    assert ours["scores"][:few] == peer["scores"]
    assert again["attempts"] == 0


def check_counts(ours: Any, server: Server) -> None:
    """Check that attempts are counted exactly as by the server."""
    assert ours["attempts"] == server.counts["requests"], (ours["attempts"], server.counts)


def main() -> None:
    """Measure every job, print a table, and write JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--calls", type=int, default=640)
    parser.add_argument("--serve", nargs=2, type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(*options.serve)
        return
    calls = options.calls
    jobs = [
        Job("instant replies", 0.0, 0.0, calls, 64),
        Job("1 s a reply", 1.0, 0.0, calls, 8),
        Job(f"instant, {FAULTS:.0%} faults", 0.0, FAULTS, calls, 8),
    ]
    shown = pairs(calls // len(RUBRICS))
    print(
        f"{'job':<20} {'calls':>5} {'seconds':>8} {'calls/s':>8} {'peer s/call':>11} {'faster':>7}"
    )
    rows = []
    for job in jobs:
        row = measure(job, shown, options.repeats)
        rows.append(row)
        print(
            "{job:<20} {calls:5} {seconds:8} {per_second:8} {peer_seconds_a_call:11} "
            "{times_faster:7}".format(**row)
        )
    if options.json:
        shape = {"repeats": options.repeats, "in_flight": IN_FLIGHT, "pictures": f"2 of {SIZE} px"}
        text = json.dumps({"machine": machine(1), **shape, "rows": rows}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
