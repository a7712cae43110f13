"""Compare the speed of editing over HTTP with a sequential loop.

    python benchmarks/edit_http.py [--json benchmarks/edit_http.json] [--edits 320] [--size 512]

A fake image server in its own process takes a second for each picture. Our side is the build step
`edit` with the editor `images`, 32 requests in flight: decoding, framing, encoding, requests,
ledger, decoding and encoding of the results. The peer calls the same server by OpenAI's client, one
picture after another, and decodes and encodes as we do; as its time is proportional to the calls,
it makes fewer of them. Our second run, from the ledger, is measured too.
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openai

from editloop.chat.fake.pictures import PictureRequest
from editloop.chat.fake.server import FakeServer, FakeSettings
from editloop.images.codec import decode, encode_png
from editloop.kernel.steps import Keep, StepContext
from editloop.registry import create
from editloop.schema import EditSample, Image, Pixels
from editloop.sources.photos import PhotosSource
from measuring import machine

LATENCY = 1.0  # seconds
IN_FLIGHT = 32
PEER = 6  # edits of the peer
SHARD = 64  # samples that a step gets at once


def answer(asked: PictureRequest) -> Pixels:
    assert asked.source is not None
    return 255 - asked.source


def serve() -> None:
    """Run the server's process: print its URL, and the most requests at once at its end."""
    with FakeServer(pictures=answer, settings=FakeSettings(latency=LATENCY)) as server:
        print(server.base_url, flush=True)
        sys.stdin.read()
        print(server.seen.at_once)


def samples(count: int, size: int) -> list[EditSample]:
    """Return distinct samples: each photo is shifted by some pixels."""
    source = PhotosSource(PhotosSource.Settings(size=size, train=8, heldout=0))
    found = source.load(list(source.items()))
    photos = [
        decode(each.samples[0].source_image.bytes) for each in found if isinstance(each, Keep)
    ]
    return [
        EditSample(
            f"s{n}", Image(encode_png(np.roll(photos[n % 8], n // 8, axis=1))), "invert the colours"
        )
        for n in range(count)
    ]


def edit_ours(url: str, asked: Sequence[EditSample], ledger: Path) -> float:
    """Return the seconds that the step takes."""
    editor = {"kind": "images", "target": "m", "base_url": url, "ledger": str(ledger)}
    step = create("build", "edit", {"editor": {**editor, "size": "source"}})
    step.setup(StepContext(0, "train"))
    began = time.perf_counter()
    kept = [
        each
        for start in range(0, len(asked), SHARD)
        for each in step.process(asked[start : start + SHARD])
    ]
    seconds = time.perf_counter() - began
    step.close()
    assert all(isinstance(each, Keep) for each in kept)
    return seconds


def edit_peer(url: str, asked: Sequence[EditSample]) -> float:
    """Return the seconds of a sequential loop."""
    began = time.perf_counter()
    with openai.OpenAI(base_url=url, api_key="none") as client:
        for sample in asked:
            pixels = decode(sample.source_image.bytes)
            height, width = pixels.shape[:2]
            made = client.images.edit(
                model="m",
                prompt=sample.instruction,
                size=f"{width}x{height}",  # type: ignore[arg-type]
                image=("image.png", encode_png(pixels), "image/png"),
            )
            assert made.data is not None
            encode_png(decode(base64.b64decode(made.data[0].b64_json or "")))
    return time.perf_counter() - began


def main() -> None:
    """Measure both sides, print the figures, and write JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--edits", type=int, default=320)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    asked, pipe = samples(options.edits, options.size), subprocess.PIPE
    command = [sys.executable, __file__, "--serve"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server,
    ):
        assert server.stdin is not None
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        ours = edit_ours(url, asked, Path(folder) / "ledger.db")
        again = edit_ours(url, asked, Path(folder) / "ledger.db")
        peer = edit_peer(url, asked[:PEER]) / PEER
        server.stdin.close()
        at_once = int(server.stdout.readline())
    row = {
        "edits": options.edits,
        "size": options.size,
        "latency": LATENCY,
        "in_flight": at_once,
        "seconds": round(ours, 2),
        "second_run_seconds": round(again, 2),
        "peer_seconds_an_edit": round(peer, 3),
        "times_faster": round(peer * options.edits / ours, 1),
    }
    print(json.dumps(row))
    if options.json:
        text = json.dumps({"machine": machine(1), **row}, indent=1)
        options.json.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
