"""Verify: gates before the judge, what the judge's scores decide, and what has no verdict."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from editloop.chat.fake.server import FakeServer
from editloop.errors import FailureClass, RecipeError
from editloop.images.codec import decode, encode_jpeg, encode_png
from editloop.kernel.resources import CPU, NETWORK
from editloop.kernel.steps import Drop, Fail, Keep, Outcome, StepContext
from editloop.registry import create
from editloop.schema import (
    Cause,
    EditedPair,
    EditOutcome,
    EditSample,
    EditType,
    Image,
    Pixels,
    Provenance,
    Score,
    Unscored,
    Verdict,
)
from editloop.sources.photos import PhotosSource

SIDE = 256
MIDDLE = (slice(90, 170), slice(90, 170))


class Scripted:
    """A judge that gives the next verdict, and notes the pairs that it saw."""

    name = "scripted"
    version = "1"
    perspectives = ("following", "beauty")
    verdicts: ClassVar[list[Verdict]] = []
    seen: ClassVar[list[str]] = []

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        self.seen.extend(pair.id for pair in batch)
        return [self.verdicts.pop(0) for _ in batch]


class Sorting(Scripted):
    """A judge of the outcome."""

    perspectives = ("outcome",)


@pytest.fixture(scope="module")
def photo() -> Pixels:
    source = PhotosSource(PhotosSource.Settings(size=SIDE, train=1, heldout=0))
    (loaded,) = source.load(list(source.items()))
    assert isinstance(loaded, Keep)
    return decode(loaded.samples[0].source_image.bytes)


def edited(photo: Pixels) -> Pixels:
    target = photo.copy()
    target[MIDDLE] = 255 - target[MIDDLE]
    return target


def sample(photo: Pixels, target: Pixels, name: str = "s/2", **fields: Any) -> EditSample:
    made = Provenance("editor", "1", parameters={"attempt": 2, "cost": 0.5})
    pictures = (Image(encode_png(each)) for each in (photo, target))
    return EditSample(name, next(pictures), "invert it", next(pictures), provenance=made, **fields)


def process(
    samples: Sequence[EditSample], verdicts: Sequence[Verdict] = (), **settings: Any
) -> list[Outcome]:
    Scripted.verdicts[:], Scripted.seen[:] = verdicts, []
    step = create("build", "verify", {"judge": f"python:{__name__}:Scripted", **settings})
    step.setup(StepContext(0, "train"))
    found: list[Outcome] = step.process(samples)
    return found


def passing(**scores: Score | Unscored) -> Verdict:
    return {"following": Score(4.0, True), "beauty": Score(3.0, True), **scores}


def test_gates_reject_before_the_judge_is_asked(photo: Pixels) -> None:
    inside = np.zeros((SIDE, SIDE), np.uint8)
    inside[80:180, 80:180] = 255
    corner = np.zeros((SIDE, SIDE), np.uint8)
    corner[:60, :60] = 255
    masks = {"in": inside, "out": corner, "none": np.zeros_like(corner)}
    mask = {name: Image(encode_png(each)) for name, each in masks.items()}
    right = edited(photo)
    rejected = {
        "copy": sample(photo, decode(encode_jpeg(photo, 90)), "copy"),
        "moved": sample(photo, np.roll(right, 5, axis=1), "moved"),
        "wide": sample(photo, right[:200], "wide"),
        "elsewhere": sample(photo, right, "elsewhere", mask=mask["out"]),
        "nowhere": sample(photo, right, "nowhere", mask=mask["none"]),
    }
    good = [sample(photo, right, "plain"), sample(photo, right, "masked", mask=mask["in"])]
    found = process([*rejected.values(), *good], [passing()] * 2)
    reasons = [each.reason for each in found if isinstance(each, Drop)]
    assert reasons == ["unchanged", "shifted", "aspect", "mask-inverted", "mask-empty"]
    assert Scripted.seen == ["plain", "masked"]
    attempts = [each.attempts[0] for each in found if isinstance(each, Drop)]
    assert [each.outcome for each in attempts] == [EditOutcome.UNCHANGED, *[EditOutcome.WRONG] * 4]
    assert [each.sample for each in attempts] == list(rejected.values())
    assert {(each.number, each.cost, each.chosen) for each in attempts} == {(2, 0.5, False)}
    assert (attempts[1].reason or "").startswith("shifted: +")
    kept = [each.samples[0] for each in found if isinstance(each, Keep)]
    assert [{*each.scores} for each in kept] == [{"following", "beauty"}] * 2


def test_only_the_gates_that_are_named_reject(photo: Pixels) -> None:
    moved = sample(photo, np.roll(edited(photo), 5, axis=1))
    assert isinstance(process([moved], [passing()], gates=["unchanged"])[0], Keep)
    assert isinstance(process([moved], judge=None)[0], Drop)
    with pytest.raises(RecipeError, match="gates"):
        process([moved], gates=["unchangd"])


@pytest.mark.parametrize(
    ("scores", "settings", "reason", "told"),
    [
        ({}, {}, None, None),
        ({"following": Score(1.0, False, "no dog")}, {}, "following is not passed",
         "following is not passed: no dog"),
        ({"following": Score(1.0, False)}, {"least": {"beauty": 2}}, None, None),
        ({"following": Score(1.9)}, {"least": {"following": 1.9}}, None, None),
        ({"following": Score(1.8)}, {"least": {"following": 1.9}}, "following is below 1.9",
         "following is below 1.9"),
        ({"following": Unscored("unknown")}, {"least": {"beauty": 2}}, None, None),
    ],
)  # fmt: skip
def test_what_scores_decide(
    photo: Pixels, scores: Any, settings: Any, reason: str | None, told: str | None
) -> None:
    (found,) = process([sample(photo, edited(photo))], [passing(**scores)], **settings)
    if reason is None:
        assert isinstance(found, Keep)
        return
    assert isinstance(found, Drop)
    (attempt,) = found.attempts
    assert (found.reason, attempt.reason) == (reason, told)
    assert attempt.outcome is EditOutcome.WRONG
    assert {*attempt.sample.scores} == {"following", "beauty"}


@pytest.mark.parametrize(
    ("score", "code", "failure"),
    [
        (Unscored("no", cause=Cause.UNPARSEABLE), "no-verdict", FailureClass.PERMANENT),
        (Unscored("no", cause=Cause.REFUSED), "no-verdict", FailureClass.POLICY),
        (Unscored("busy", cause=Cause.TRANSIENT), "no-verdict-yet", FailureClass.TRANSIENT),
        (Score(4.0), "undecided", FailureClass.PERMANENT),
    ],
)
def test_a_candidate_without_a_verdict_is_neither_kept_nor_rejected(
    photo: Pixels, score: Score | Unscored, code: str, failure: FailureClass
) -> None:
    (found,) = process([sample(photo, edited(photo))], [passing(following=score)])
    assert isinstance(found, Fail)
    assert (found.code, found.failure) == (code, failure)


def test_an_unknown_score_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="following"):
        process([], least={"folowing": 3})


def test_a_judge_of_outcomes_decides_by_them(photo: Pixels) -> None:
    samples = [sample(photo, edited(photo), name) for name in "abcd"]
    verdicts = [{"outcome": Score(value, text="so")} for value in (2.0, 1.0, 0.0, 1.5)]
    found = process(samples, verdicts, judge=f"python:{__name__}:Sorting")
    assert isinstance(found[0], Keep)
    rejected = [each.attempts[0] for each in found if isinstance(each, Drop)]
    assert [(each.outcome, each.reason) for each in rejected] == [
        (EditOutcome.WRONG, "judged wrong: so"),
        (EditOutcome.UNCHANGED, "judged unchanged: so"),
    ]
    assert isinstance(found[3], Fail)


def test_the_rubric_asks_by_the_type_of_edit(photo: Pixels, tmp_path: Path) -> None:
    texts: list[str] = []

    def answer(asked: Any) -> str:
        texts.append("\n".join(asked.texts))
        return json.dumps({"why": "a trace of it is left", "outcome": 1})

    target = edited(photo)
    typed = sample(photo, target, "a", edit_type=EditType.REMOVE)
    with FakeServer(answer) as server:
        judge = {"kind": "vlm", "target": "fake", "base_url": server.base_url, "rubrics": "outcome",
                 "ledger": str(tmp_path / "l.db"), "concurrency": 1}  # fmt: skip
        step = create("build", "verify", {"judge": judge})
        assert (step.resources, create("build", "verify", {}).resources) == (NETWORK, CPU)
        step.setup(StepContext(0, "train", tmp_path))
        found = step.process([typed, sample(photo, target, "b")])
        step.close()
    assert {each.reason for each in found} == {"judged wrong"}
    typed_text, plain_text = sorted(texts, key=lambda text: "taken out" not in text)
    assert "taken out" in typed_text
    assert "taken out" not in plain_text
    assert "in the right place" in plain_text
