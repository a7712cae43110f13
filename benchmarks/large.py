"""Measure a data set of a million samples: seconds and memory of each stage as it grows.

    python benchmarks/large.py [--records 62500 1000000] [--workers 2] [--json FILE]

Samples have two small random pictures. Each stage runs in a process of its own, in which 256 files
may be open: `build` makes and judges them (L1) through the kernel and publishes them; `list` opens
the published split for training and numbers its prompts; `shuffle` draws every batch of an epoch.
Memory is the peak resident size of all processes of a stage together; CPU seconds are those of the
stage and its workers, with their start.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from editloop.images.codec import encode_png
from editloop.kernel.steps import Keep, SourceItem
from editloop.loop import run as loop
from editloop.loop.recipe import Recipe
from editloop.metrics.pixels import measure_pixels
from editloop.runtime.seeding import generator
from editloop.schema import EditedPair, EditSample, Image, Json, Provenance, Verdict
from editloop.settings import Settings, validate
from measuring import machine, measured

LIMITED = ("bash", "-c", 'ulimit -n 256 && exec "$0" "$@"', sys.executable, __file__)
STAGES = ("build", "list", "shuffle")
BATCH = 256
SIDE = 8  # pixels
LINE = "{:8} {:>9} {:>9} {:>9} {:>9} {:>6}"


class RandomPairs:
    """Pairs of random pictures."""

    class Settings(Settings):
        records: int

    name = "random-pairs"
    version = "1"

    def __init__(self, settings: RandomPairs.Settings) -> None:
        self._records = settings.records

    @property
    def parameters(self) -> Mapping[str, Json]:
        return {"records": self._records}

    def items(self) -> Iterator[SourceItem]:
        for number in range(self._records):
            yield SourceItem(f"random/{number}", "train", f"random:{number}", {"number": number})

    def load(self, items: Sequence[SourceItem]) -> list[Keep]:
        return [Keep((_pair(item),)) for item in items]


class L1Judge:
    """The mean absolute difference of an edit from its source."""

    name = "l1"
    version = "1"
    perspectives = ("l1",)

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        return [measure_pixels(pair, ["l1"], against="source") for pair in batch]


def _pair(item: SourceItem) -> EditSample:
    random = generator("pair", int(item.parameters["number"]))
    source, target = (
        Image(encode_png(random.integers(256, size=(SIDE, SIDE, 3), dtype=np.uint8)))
        for _ in range(2)
    )
    return EditSample(
        id=item.id,
        source=source,
        instruction=f"change {item.id}",
        target=target,
        provenance=Provenance("random-pairs", "1", source_uri=item.uri),
    )


def build(out: Path, records: int, workers: int) -> None:
    """Build, judge and publish the samples."""
    content = {
        "name": "large",
        "sources": [{"name": "pairs", "kind": "large:RandomPairs", "records": records}],
        "judge": [{"name": "l1", "kind": "large:L1Judge"}],
    }
    recipe = validate(Recipe, content, where="large")
    loop.run(recipe, out, only=("sources", "build", "judge"), workers=workers)


def listed(out: Path, records: int) -> None:
    """List the split for training, with the number of each sample's prompt."""
    from editloop.training.rows import PublishedRows

    rows = PublishedRows.of(out / "data", "train")
    assert len(rows) == records
    assert rows.prompts().max() == records - 1


def shuffle(records: int) -> None:
    """Draw every batch of an epoch."""
    from editloop.training.order import BatchOrder

    order = BatchOrder([np.arange(records)], BATCH, seed=1)
    seen = np.zeros(records, np.bool_)
    for step in range(-(-records // BATCH)):
        seen[order.at(step)] = True
    assert seen.all()


def stage(name: str, out: Path, records: int, workers: int) -> None:
    """Run one stage, and note its seconds."""
    started = time.perf_counter()
    if name == "build":
        build(out, records, workers)
    elif name == "list":
        listed(out, records)
    else:
        shuffle(records)
    facts = {"seconds": time.perf_counter() - started}
    out.with_name("facts.json").write_text(json.dumps(facts), encoding="utf-8")


def measure(records: int, workers: int, folder: Path) -> list[dict[str, Json]]:
    """Run every stage; return the seconds, microseconds a record, and peak memory of each."""
    rows: list[dict[str, Json]] = []
    for name in STAGES:
        arguments = ("--stage", name, str(folder / "run"), str(records), str(workers))
        path = {"PYTHONPATH": ":".join([str(Path(__file__).parent), *filter(None, sys.path)])}
        done = measured([*LIMITED, *arguments], path, folder / "log")
        seconds = json.loads((folder / "facts.json").read_text())["seconds"]
        row: dict[str, Json] = {"stage": name, "records": records, "seconds": round(seconds, 2)}
        row |= {"cpu_seconds": round(done.cpu, 2)}
        row["cpu_us_per_record"] = round(done.cpu / records * 1e6, 1)
        rows.append(row | {"peak_mib": round(done.peak / 2**20)})
        print(LINE.format(*rows[-1].values()), flush=True)
    return rows


def main() -> None:
    """Measure every size, print a table, and write JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, nargs="+", default=[62_500, 1_000_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--stage", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        name, out, records, workers = options.stage
        stage(name, Path(out), int(records), int(workers))
        return
    heads = ("stage", "records", "seconds", "CPU s", "us/record", "MiB")
    print(LINE.format(*heads), flush=True)
    rows = []
    for records in options.records:
        with tempfile.TemporaryDirectory() as folder:
            rows += measure(records, options.workers, Path(folder))
    if options.json:
        facts = {"machine": machine(1), "workers": options.workers, "rows": rows}
        options.json.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
