"""A helper for tests of steps that write texts: samples in, scripted replies, outcomes out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from editloop.chat.fake.faults import Fault, in_order
from editloop.chat.fake.request import FakeRequest
from editloop.chat.fake.server import FakeServer
from editloop.images.codec import encode_png
from editloop.kernel.steps import Keep, Outcome, StepContext
from editloop.registry import create
from editloop.schema import EditSample, Image

__all__ = ["Asked", "grey", "outcomes", "reasons", "sample"]

Reply = Callable[[FakeRequest], Any] | Sequence[Any]


class Asked(list[str]):
    """The texts of each request that the server got."""


def grey(level: int) -> Image:
    return Image(encode_png(np.full((8, 8, 3), level, np.uint8)))


def sample(name: str = "a", **fields: Any) -> EditSample:
    """Return an edit with both pictures and all texts."""
    texts = {
        "instruction": "make the cat a dog",
        "source_caption": "a cat on a sofa",
        "target_caption": "a dog on a sofa",
        "inverse_instruction": "make the dog a cat",
    }
    return EditSample(**{"id": name, "source": grey(1), "target": grey(9), **texts, **fields})


def outcomes(
    folder: Path,
    kind: str,
    samples: Sequence[EditSample],
    reply: Reply,
    faults: Sequence[Fault | None] = (),
    **settings: Any,
) -> tuple[list[Outcome], Asked]:
    """Return what a step answers to samples, asked one by one; a reply may be JSON content."""
    asked = Asked()

    def answer(request: FakeRequest) -> str:
        asked.append("\n".join(request.texts))
        content = reply(request) if callable(reply) else reply[min(len(asked), len(reply)) - 1]
        return content if isinstance(content, str) else json.dumps(content)

    given = {"target": "fake", "concurrency": 1, "attempts": 1, "re_asks": 0, **settings}
    given["ledger"] = str(folder / "ledger.db")
    with FakeServer(answer, faults=in_order(*faults)) as server:
        step = create("build", kind, {**given, "base_url": server.base_url})
        step.setup(StepContext(0, "train", folder))
        found = step.process(samples)
        step.close()
    return found, asked


def reasons(outcome: Outcome) -> list[str | None]:
    """Return the reasons of the rejected attempts."""
    assert isinstance(outcome, Keep)
    return [each.reason for each in outcome.attempts]
