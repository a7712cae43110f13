"""The fake model server for a data set: it judges darkroom edits by their known truth.

    with serve("runs/reward-edit", faults=0.05) as server:
        judge(data, f"vlm:fake?base_url={server.base_url}", out)

It declines to judge edits whose truth is unknown, as a model may.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from editloop.chat.fake.faults import MIXED, at_random
from editloop.chat.fake.server import FakeServer, FakeSettings
from editloop.errors import RecipeError
from editloop.judges.fake.truth import truth_answers
from editloop.kernel.steps import Keep
from editloop.schema import EditSample, Json
from editloop.sources.layout_source import LayoutSource

__all__ = ["serve"]

_BATCH = 64  # edits per read


def serve(
    data: str | Path,
    *,
    port: int = 0,
    latency: float = 0.0,
    faults: float = 0.0,
    seed: int = 0,
    **source: Json,
) -> FakeServer:
    """Return a server, not yet started, that answers for the edits in the folder `data`.

    A reply takes 0.5 to 1.5 times `latency` seconds, and a request fails with probability `faults`.
    `source` holds settings of the source `layout`. Port 0 chooses a free port. Raises RecipeError
    if the data cannot be read or the port is taken.
    """
    settings = LayoutSource.Settings(path=Path(data).expanduser(), **source)
    answers = truth_answers(_samples(LayoutSource(settings)))
    try:
        return FakeServer(
            answers,
            faults=at_random(faults, seed, MIXED),
            settings=FakeSettings(latency=latency, jitter=0.5, seed=seed),
            port=port,
        )
    except OSError as error:
        raise RecipeError(
            f"cannot listen on this port: {error.strerror}", value=port, fix="choose another port"
        ) from error


def _samples(source: LayoutSource) -> Iterator[EditSample]:
    items = source.items()
    while batch := list(islice(items, _BATCH)):
        for outcome in source.load(batch):
            if isinstance(outcome, Keep):
                yield outcome.samples[0]
