"""Compare the cost of prompt-to-prompt pairs with a reference that makes them one by one.

    python benchmarks/pairs.py [--json benchmarks/pairs.json]

The model is Stable Diffusion 1.5 in true size with random weights, unless `--model` names a
folder. Both make the same pairs, in mode instruct-pix2pix with guidance, from the same weights in
one process, and alternate; the first run of each warms up and is not counted. The reference has
all attention maps in memory and decodes one picture at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from editloop.models.pairs import Pair, PairModel, Sampling
from editloop.models.pipeline_loading import load_pipeline
from editloop.runtime.machine import device
from editloop.schema import Json, Pixels
from measuring import machine
from pairs_reference import made_one_by_one

_CAPTIONS = [
    ("a photo of a cat on a mat", "a photo of a dog on a mat"),
    ("a house by a lake", "a house by a lake in winter"),
    ("a woman with a hat", "a woman with a red hat"),
    ("an empty road at noon", "an empty road at night"),
]


class _Watch:
    """Counts of a network's calls and rows, and of decoded pictures."""

    def __init__(self, pipeline: Any) -> None:
        self.calls = self.rows = self.decodes = 0
        pipeline.unet.register_forward_pre_hook(self._called)
        decode = pipeline.vae.decode

        def counted(latents: Any, **named: Any) -> Any:
            self.decodes += len(latents)
            return decode(latents, **named)

        pipeline.vae.decode = counted

    def _called(self, _network: Any, inputs: tuple[Any, ...]) -> None:
        self.calls += 1
        self.rows += len(inputs[0])


def main() -> None:
    """Make pairs both ways, print a table, and write JSON if requested."""
    options = _options()
    torch.set_num_threads(options.threads)
    pipeline = _pipeline(options.model)
    model = PairModel(pipeline, pipeline.scheduler)
    plain = pipeline.unet.attn_processors
    pairs = [
        Pair(
            *_CAPTIONS[at % len(_CAPTIONS)],
            seed=at,
            share=0.2 + 0.6 * at / options.batch,
            guidance=7.5,
        )
        for at in range(options.batch)
    ]
    sampling = Sampling("instruct-pix2pix", options.steps, options.size)

    def ours() -> list[Pixels]:
        pipeline.unet.set_attn_processor(dict(plain))  # which takes its entries
        made = model.make(pairs, sampling)
        return [picture for pair in made for picture in (pair.source, pair.target)]

    def reference() -> list[Pixels]:
        return made_one_by_one(pipeline, pairs, options.steps, options.size)

    watch = _Watch(pipeline)
    rows: dict[str, list[dict[str, Json]]] = {"reference": [], "ours": []}
    pictures: dict[str, list[Pixels]] = {}
    for repeat in range(options.repeats + 1):
        for name, make in (("reference", reference), ("ours", ours)):
            pictures[name], found = _measured(make, watch)
            if repeat:
                rows[name].append(found)
    told = {
        "machine": {**machine(options.threads), "load": os.getloadavg()},
        **{name: getattr(options, name) for name in ("size", "steps", "batch", "repeats")},
        "rows": {name: _summary(each, options.batch) for name, each in rows.items()},
        "apart": _apart(pictures["reference"], pictures["ours"]),
    }
    print(_table(told))
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _pipeline(folder: Path | None) -> Any:
    """Return a pipeline on the device in fp32, with an Euler ancestral scheduler."""
    from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionPipeline

    if folder is not None:
        pipeline = load_pipeline(StableDiffusionPipeline, folder, "fp32")
        pipeline.scheduler = EulerAncestralDiscreteScheduler.from_config(pipeline.scheduler.config)
        return pipeline
    from evaluate_world import letter_tokenizer
    from stable_diffusion import autoencoder, schedule, text_encoder, unet

    torch.manual_seed(0)
    tokenizer = letter_tokenizer()
    return StableDiffusionPipeline(
        vae=autoencoder().eval(),
        text_encoder=text_encoder(tokenizer).eval(),
        tokenizer=tokenizer,
        unet=unet().eval(),
        scheduler=EulerAncestralDiscreteScheduler(**schedule()),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).to(device())


def _measured(
    make: Callable[[], list[Pixels]], watch: _Watch
) -> tuple[list[Pixels], dict[str, Json]]:
    watch.calls = watch.rows = watch.decodes = 0
    clock, processor = time.perf_counter(), time.process_time()
    made = make()
    return made, {
        "seconds": time.perf_counter() - clock,
        "processor": time.process_time() - processor,
        "calls": watch.calls,
        "rows": watch.rows,
        "decodes": watch.decodes,
    }


def _summary(rows: Sequence[dict[str, Json]], pairs: int) -> dict[str, Json]:
    seconds, processor = (median(row[name] for row in rows) for name in ("seconds", "processor"))
    return {
        **rows[0],
        "seconds": seconds,
        "processor": processor,
        "pairs_per_second": pairs / seconds,
        "every": [row["seconds"] for row in rows],
    }


def _apart(first: Sequence[Pixels], second: Sequence[Pixels]) -> dict[str, Json]:
    """Return the difference of all pictures in 255ths."""
    assert all(np.ptp(each) > 0 for each in first), "a picture of one colour tells nothing"
    difference = np.abs(np.stack(first).astype(int) - np.stack(second))
    return {"max": int(difference.max()), "mean": float(difference.mean())}


def _table(told: dict[str, Json]) -> str:
    reference, ours = told["rows"]["reference"], told["rows"]["ours"]
    lines = [
        f"{told['batch']} pairs of {told['size']} px, {told['steps']} steps, medians of "
        f"{told['repeats']}",
        f"{'':>9} {'s':>8} {'processor':>9} {'calls':>6} {'rows':>6} {'decodes':>7}",
    ]
    lines += [
        f"{name:>9} {row['seconds']:8.1f} {row['processor']:9.1f} {row['calls']:6} {row['rows']:6} "
        f"{row['decodes']:7}"
        for name, row in told["rows"].items()
    ]
    ratios = [reference[name] / ours[name] for name in ("seconds", "processor")]
    lines.append(
        f"{ratios[0]:.2f} times as fast ({ratios[1]:.2f} by processor time); pictures at most "
        f"{told['apart']['max']}/255 apart"
    )
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a pipeline's folder")
    parser.add_argument("--size", type=int, default=256, help="side of the pictures in pixels")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=2, help="pairs that we make at once")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
