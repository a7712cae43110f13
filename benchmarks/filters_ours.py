"""Filter a data set by the build step `filter` in this process, and report the work done.

python filters_ours.py FACTS DATA CACHE RULES.json
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from editloop.filters.filter_step import FilterSettings, FilterStep
from editloop.kernel.steps import Keep, StepContext
from editloop.kernel.worker import BATCH
from editloop.metrics import networks
from editloop.settings import validate
from editloop.storage.samples import read_samples
from evaluate_counting import tell


def main() -> None:
    """Filter in batches as a worker does, and write FACTS."""
    facts, data, cache, rules = sys.argv[1:5]
    samples = list(read_samples(Path(data), "train"))
    loading = _timed_loading()
    settings = {"rules": json.loads(Path(rules).read_bytes())}
    step = FilterStep(validate(FilterSettings, settings, where="the benchmark"))
    step.setup(StepContext(0, "train", Path(cache)))
    began = time.perf_counter()
    kept = [
        outcome.samples[0].id
        for at in range(0, len(samples), BATCH)
        for outcome in step.process(samples[at : at + BATCH])
        if isinstance(outcome, Keep)
    ]
    seconds = time.perf_counter() - began
    counts = step.embeddings.counts
    tell(
        facts,
        kept=kept,
        load=sum(loading),
        steady=seconds - sum(loading),
        counts={"images": counts.images_encoded, "texts": counts.texts_encoded},
    )


def _timed_loading() -> list[float]:
    """Return a list that the seconds of each network's loading are added to."""
    load, seconds = networks.load, list[float]()

    def timed(*arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        made = load(*arguments, **options)
        seconds.append(time.perf_counter() - began)
        return made

    vars(networks)["load"] = timed
    return seconds


if __name__ == "__main__":
    main()
