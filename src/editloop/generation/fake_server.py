"""The fake model server for a data set: it judges, writes, edits and moderates from known truth.

    with serve("runs/reward-edit", faults=0.05) as server:
        judge(data, f"vlm:fake?base_url={server.base_url}", out)

It declines to judge edits whose truth is unknown, as a model may. Pictures that it does not know
are edited by the darkroom.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from editloop.chat.fake.faults import MIXED, PICTURES, Asked, Fault, Schedule, at_random
from editloop.chat.fake.pictures import PictureRequest
from editloop.chat.fake.request import FakeRequest
from editloop.chat.fake.server import FakeServer, FakeSettings
from editloop.editors.fake import picture_answers
from editloop.errors import RecipeError
from editloop.generation.fake import text_answers
from editloop.judges.fake.truth import truth_answers
from editloop.kernel.steps import Keep
from editloop.schema import EditSample, Json
from editloop.sources.layout_source import LayoutSource

__all__ = ["flags", "serve"]

_BATCH = 64  # edits per read
_TRANSPORT = (Fault.RATE_LIMITED, Fault.ERROR, Fault.RESET)
_FLAGGED = {
    "violence": re.compile(r"\b(?:blood|gun|kill\w*|weapons?)\b", re.I),
    "sexual": re.compile(r"\b(?:naked|nude|sex\w*)\b", re.I),
}


def serve(
    data: str | Path | None = None,
    *,
    port: int = 0,
    latency: float = 0.0,
    faults: float = 0.0,
    seed: int = 0,
    dialect: str = "openai",
    **source: Json,
) -> FakeServer:
    """Return a server, not yet started, that answers for the edits in the folder `data`.

    A reply takes 0.5 to 1.5 times `latency` seconds, and a request fails with probability `faults`.
    `dialect` is that of the images endpoints. `source` holds settings of the source `layout`. Port
    0 chooses a free port. Raises RecipeError if the data cannot be read or the port is taken.
    """
    samples: list[EditSample] = []
    if data is not None:
        settings = LayoutSource.Settings(path=Path(data).expanduser(), **source)
        samples = list(_samples(LayoutSource(settings)))
    try:
        return FakeServer(
            text_answers(samples, truth_answers(samples)),
            pictures=picture_answers(samples),
            flags=flags,
            faults=_schedule(faults, seed),
            settings=FakeSettings(latency=latency, jitter=0.5, seed=seed, dialect=dialect),
            port=port,
        )
    except OSError as error:
        raise RecipeError(
            f"cannot listen on this port: {error.strerror}", value=port, fix="choose another port"
        ) from error


def flags(text: str) -> Sequence[str]:
    """Return the categories that the server's moderation flags a text for."""
    return [name for name, pattern in _FLAGGED.items() if pattern.search(text)]


def _schedule(rate: float, seed: int) -> Schedule:
    """Return a schedule with the faults of each endpoint."""
    kinds = {FakeRequest: MIXED, PictureRequest: PICTURES}
    schedules = {kind: at_random(rate, seed, faults) for kind, faults in kinds.items()}
    otherwise = at_random(rate, seed, _TRANSPORT)

    def fault(asked: Asked) -> Fault | None:
        return schedules.get(type(asked), otherwise)(asked)

    return fault


def _samples(source: LayoutSource) -> Iterator[EditSample]:
    items = source.items()
    while batch := list(islice(items, _BATCH)):
        for outcome in source.load(batch):
            if isinstance(outcome, Keep):
                yield outcome.samples[0]
