"""Evaluate recorded pictures in this process, as a user does, and report the work done.

python evaluate_ours.py FACTS CARD DATA OUTPUTS OUT PRECISION
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any

from editloop.evaluation.evaluate import evaluate
from editloop.evaluation.report.html import HtmlReport
from editloop.metrics import encoders, networks
from evaluate_counting import count_pictures, tell


def main() -> None:
    """Evaluate into the run folder OUT, and write FACTS."""
    facts, card, data, outputs, out, precision = sys.argv[1:]
    counts = count_pictures()
    counts.update(rows_of_images=0, rows_of_texts=0)
    spent = {"reading": 0.0, "encoding": 0.0, "page": 0.0}
    _watch(counts, spent)
    ready = time.time()
    evaluate(card, data, [f"mine=recorded:{outputs}"], out, precision=precision)
    tell(facts, ready=ready, counts=counts, **spent)


def _watch(counts: Counter[str], spent: dict[str, float]) -> None:
    """Count the rows passed to networks, with padding of batches, and measure their seconds.

    Reading weights (with the files' digests) and the report page are timed separately.
    """
    for place, name, key in (
        (encoders, "_fingerprint", "reading"),
        (networks.Network, "__init__", "reading"),
        (networks.Tokens, "__init__", "reading"),
        (networks.Network, "images", "encoding"),
        (networks.Network, "texts", "encoding"),
        (HtmlReport, "write", "page"),
    ):
        setattr(place, name, _watched(getattr(place, name), key, counts, spent))


def _watched(
    bare: Callable[..., Any], key: str, counts: Counter[str], spent: dict[str, float]
) -> Callable[..., Any]:
    @wraps(bare)
    def call(*arguments: Any) -> Any:
        began = time.perf_counter()
        made = bare(*arguments)
        spent[key] += time.perf_counter() - began
        if key == "encoding":
            counts[f"rows_of_{bare.__name__}"] += len(made)
        return made

    return call


if __name__ == "__main__":
    main()
