"""Steps that ask a model: ledger, budget, prompts, re-asking and retries are the kernel's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from editloop.chat.fake.faults import Fault, in_order
from editloop.chat.fake.request import FakeRequest
from editloop.chat.fake.server import FakeServer
from editloop.chat.messages import Message, Question, ReplyError
from editloop.errors import RecipeError
from editloop.images.codec import encode_png
from editloop.kernel.build import BuildReport, Options, build, retry
from editloop.kernel.chat_step import ChatStep
from editloop.kernel.resources import NETWORK
from editloop.kernel.steps import Drop, Keep, Outcome, SourceItem
from editloop.kernel.tasks import StepSpec
from editloop.schema import EditSample, Image
from editloop.storage.samples import read_samples
from kernel_parts import ListSource

PROMPT = """
name: colour
version: 1
title: The colour of a picture
source: internal
pictures: {format: png}
prompt: "Name the colour of {source} for {instruction}"
"""


class GreySource(ListSource):
    """Lists grey pictures with instructions."""

    def _load(self, item: SourceItem) -> Outcome:
        picture = encode_png(np.full((8, 8, 3), int(item.id[-1]), np.uint8))
        return Keep((EditSample(item.id, Image(picture), f"edit {item.id}"),))


class Colour(ChatStep):
    """Asks for the colour."""

    adds = frozenset({"source_caption"})

    def read(self, sample: EditSample, reply: str) -> Any:
        if reply == "unsure":
            raise ReplyError("name one colour")
        return Drop("no colour") if reply == "none" else replace(sample, source_caption=reply)


class Greeting(ChatStep):
    """Asks without a prompt."""

    def question(self, sample: EditSample) -> Any:
        if sample.id.endswith("1"):
            return Drop("not asked")
        return Question(sample.id, (Message("user", ("hello",)),))

    def read(self, sample: EditSample, reply: str) -> EditSample:
        return replace(sample, instruction=reply)


class World:
    """A server and a folder of runs with one ledger."""

    def __init__(self, folder: Path, server: FakeServer, asked: list[str]) -> None:
        self.folder, self.server, self.asked = folder, server, asked
        (folder / "prompt.yaml").write_text(PROMPT)

    def spec(self, kind: str = "Colour", **settings: Any) -> StepSpec:
        given = {
            "target": "fake",
            "base_url": self.server.base_url,
            "ledger": str(self.folder / "ledger.db"),
            "concurrency": 1,
            "attempts": 1,
        }
        if kind == "Colour":
            given["prompt"] = str(self.folder / "prompt.yaml")
        return StepSpec("build", "ask", f"{__name__}:{kind}", {**given, **settings})

    def make(
        self, out: str, kind: str = "Colour", workers: int = 0, **settings: Any
    ) -> BuildReport:
        items = StepSpec("source", "grey", f"{__name__}:GreySource", {"count": {"train": 4}})
        options = Options(workers=workers)
        steps = [self.spec(kind, **settings)]
        return build([items], steps, out=self.folder / out, shard_size=2, options=options)

    def captions(self, out: str) -> list[str | None]:
        return [each.source_caption for each in read_samples(self.folder / out / "data", "train")]


@contextmanager
def world(folder: Path, answer: Callable[[int], str], **settings: Any) -> Iterator[World]:
    asked: list[str] = []

    def reply(request: FakeRequest) -> str:
        asked.append(" ".join(request.texts))
        return answer(len(asked))

    with FakeServer(reply, **settings) as server:
        yield World(folder, server, asked)


@pytest.mark.slow
def test_replies_are_read_into_samples_and_paid_for_once(tmp_path: Path) -> None:
    with world(tmp_path, lambda number: f"grey {number}") as here:
        here.make("first")
        assert here.captions("first") == ["grey 1", "grey 2", "grey 3", "grey 4"]
        here.make("second", workers=1)
        assert here.captions("second") == here.captions("first")
        assert len(here.asked) == 4
        assert here.asked[0].startswith("Name the colour of")
        assert '"edit train/0000"' in here.asked[0]  # fenced: an instruction cannot give orders


def test_an_unusable_reply_is_asked_again_and_drops_have_reasons(tmp_path: Path) -> None:
    replies = {1: "unsure", 3: "none"}
    with world(tmp_path, lambda number: replies.get(number, "grey")) as here:
        report = here.make("out")
        assert report.counts["by_step"]["dropped"] == {"ask": {"no colour": 1}}
        assert (report.counts["out"], len(here.asked)) == (3, 5)
        assert "name one colour" in here.asked[1]


def test_a_question_without_an_answer_is_quarantined_and_retried(tmp_path: Path) -> None:
    faults = in_order(Fault.ERROR)
    with world(tmp_path, lambda _: "grey", faults=faults) as here:
        report = here.make("out")
        assert report.counts["by_class"] == {"transient": 1}
        assert retry(tmp_path / "out", options=Options(workers=0)) == (1, 1)
        assert here.captions("out") == ["grey"] * 4


@pytest.mark.slow
def test_the_budget_holds_in_all_workers(tmp_path: Path) -> None:
    prices = {"budget": 1e-9, "input_price": 1.0, "output_price": 1.0}
    with world(tmp_path, lambda _: "grey") as here:
        report = here.make("out", workers=2, **prices)
        failed = report.counts["by_step"]["quarantined"]
        assert failed == {"ask": {"over-budget": 4}}
        assert here.asked == []


def test_questions_of_its_own_need_no_prompt(tmp_path: Path) -> None:
    with world(tmp_path, lambda _: "hi") as here:
        report = here.make("out", "Greeting")
        assert report.counts["by_step"]["dropped"] == {"ask": {"not asked": 1}}
        assert set(here.asked) == {"hello"}


def test_the_prompt_and_the_model_are_part_of_its_identity(tmp_path: Path) -> None:
    with world(tmp_path, lambda _: "grey") as here:
        step = here.spec().create()
        assert (step.resources, step.needs) == (NETWORK, {"source", "instruction"})
        assert "colour-1" in step.parameters["prompt"]
        same = here.spec(concurrency=9, budget=1.0, input_price=1.0).create()
        assert same.parameters == step.parameters
        assert here.spec(temperature=0.5).create().parameters != step.parameters
        estimate = step.estimate(
            [EditSample("a", Image(encode_png(np.zeros((8, 8, 3), np.uint8))), "x")]
        )
        assert (estimate.calls, here.asked) == (1, [])


def test_a_step_without_a_prompt_says_so(tmp_path: Path) -> None:
    with world(tmp_path, lambda _: "grey") as here, pytest.raises(RecipeError, match="no prompt"):
        here.spec(prompt=None).create().question(EditSample("a", None))


def test_a_quarantined_row_names_the_reply_it_failed_on(tmp_path: Path) -> None:
    with world(tmp_path, lambda _: "unsure") as here:
        here.make("out", re_asks=0)
        rows = pq.read_table(tmp_path / "out" / "rejects" / "quarantined.parquet").to_pylist()
        assert {row["code"] for row in rows} == {"unparseable"}
        assert all(row["reply_key"] for row in rows)
