"""The step `edit`: any editor makes the targets, or the sample is dropped with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from editloop.editors.step import EditStep
from editloop.errors import FailureClass, UnavailableError
from editloop.images.codec import decode, encode_png
from editloop.kernel.build import Options, build
from editloop.kernel.resources import CPU, GPU, Resources
from editloop.kernel.steps import Drop, Fail, Keep, StepContext
from editloop.kernel.tasks import StepSpec
from editloop.schema import (
    EditOutcome,
    EditRequest,
    EditSample,
    Image,
    Pixels,
    Provenance,
    Score,
    Unedited,
)
from editloop.storage.samples import read_samples

GREY = encode_png(np.full((16, 24, 3), 100, np.uint8))


class Brighter:
    """Adds the number in the instruction, within the mask."""

    name = "brighter"
    fingerprint = "brighter-1"
    resources = GPU
    calls: list[int] = []  # noqa: RUF012

    def edit(self, requests: list[EditRequest]) -> list[Pixels | Unedited]:
        self.calls.append(len(requests))
        return [self._answer(request) for request in requests]

    def _answer(self, request: EditRequest) -> Pixels | Unedited:
        if not request.instruction.isdigit():
            return Unedited("not a number")
        more = request.image + np.uint8(int(request.instruction))
        return (
            more if request.mask is None else np.where(request.mask[..., None], more, request.image)
        )


class Moody(Brighter):
    """Refuses the first candidate."""

    def _answer(self, request: EditRequest) -> Pixels | Unedited:
        return Unedited("no mood") if request.id.endswith("/1") else super()._answer(request)


class Served(Brighter):
    """Fails on the candidates in `fails`, as a server does."""

    fails: dict[str, FailureClass] = {}  # noqa: RUF012

    def _answer(self, request: EditRequest) -> Pixels | Unedited:
        failure = self.fails.get(request.id)
        if failure is not None:
            return Unedited("no", failure=failure, code="no-picture")
        return super()._answer(request)


@pytest.mark.parametrize(
    ("fails", "failure"),
    [
        ({"s5/1": FailureClass.POLICY}, None),
        ({"s5/1": FailureClass.TRANSIENT}, FailureClass.TRANSIENT),
        ({"s5/1": FailureClass.POLICY, "s5/2": FailureClass.TRANSIENT}, FailureClass.TRANSIENT),
        ({"s5/1": FailureClass.POLICY, "s5/2": FailureClass.POLICY}, FailureClass.POLICY),
    ],
)
def test_a_failed_candidate_does_not_cost_the_others_unless_it_may_still_come(
    fails: dict[str, FailureClass], failure: FailureClass | None
) -> None:
    Served.fails = fails
    (outcome,) = made(editor=f"python:{__name__}:Served", candidates=2).process([sample("5")])
    if failure is not None:
        assert isinstance(outcome, Fail)
        assert outcome.failure is failure
        return
    assert isinstance(outcome, Keep)
    assert [each.id for each in outcome.samples] == ["s5/2"]
    assert [(each.sample.id, each.outcome) for each in outcome.attempts] == [
        ("s5/1", EditOutcome.WRONG)
    ]


def sample(instruction: str, **fields: Any) -> EditSample:
    return EditSample(f"s{instruction}", Image(GREY), instruction, **fields)


def made(**settings: Any) -> EditStep:
    spec = {"editor": f"python:{__name__}:Brighter", **settings}
    step: EditStep = StepSpec("build", "edit", "edit", spec).create()
    step.setup(StepContext(3, "train"))
    return step


def test_the_editors_picture_becomes_the_target() -> None:
    before = Provenance("photos", "1", licence="CC0", source_uri="file:a")
    old = sample("5", target=Image(GREY), scores={"quality": Score(1.0)}, provenance=before)
    (outcome,) = made().process([old])
    assert isinstance(outcome, Keep)
    (kept,) = outcome.samples
    assert kept.target is not None
    assert decode(kept.target.bytes).max() == 105
    assert kept.scores == {}  # they were of the old target
    assert kept.provenance is not None
    assert (kept.provenance.generator, kept.provenance.revision) == ("brighter", "brighter-1")
    assert (kept.provenance.licence, kept.provenance.source_uri) == ("CC0", "file:a")
    assert kept.provenance.seed is not None


def test_what_is_not_edited_is_dropped_with_its_reason() -> None:
    outcomes = made().process([sample("word"), sample("0")])
    found = [each for each in outcomes if isinstance(each, Drop)]
    assert [each.reason for each in found] == ["not a number", "the editor changed nothing"]
    (unedited,), (unchanged,) = (each.attempts for each in found)
    assert (unedited.outcome, unedited.sample.target) == (EditOutcome.WRONG, None)
    assert (unchanged.outcome, unchanged.sample.target) == (EditOutcome.UNCHANGED, Image(GREY))
    assert [unedited.reason, unchanged.reason] == [each.reason for each in found]


def test_candidates_have_ids_and_seeds_of_their_own_and_share_a_batch() -> None:
    Brighter.calls.clear()
    old = sample("5", parent_id="photo", target=Image(GREY), scores={"quality": Score(1.0)})
    kept, dropped = made(candidates=3).process([old, sample("word")])
    assert isinstance(kept, Keep)
    assert [each.id for each in kept.samples] == ["s5/1", "s5/2", "s5/3"]
    assert {each.parent_id for each in kept.samples} == {"s5"}
    assert [each.scores for each in kept.samples] == [{}, {}, {}]
    records = [each.provenance for each in kept.samples if each.provenance is not None]
    assert [each.parameters["attempt"] for each in records] == [1, 2, 3]
    assert len({each.seed for each in records}) == 3
    assert isinstance(dropped, Drop)
    assert [(each.sample.id, each.number) for each in dropped.attempts] == [
        ("sword/1", 1),
        ("sword/2", 2),
        ("sword/3", 3),
    ]
    assert Brighter.calls == [6]


def test_a_candidate_without_a_picture_is_an_attempt_beside_the_others() -> None:
    (outcome,) = made(editor=f"python:{__name__}:Moody", candidates=2).process([sample("5")])
    assert isinstance(outcome, Keep)
    assert [each.id for each in outcome.samples] == ["s5/2"]
    assert [(each.sample.id, each.reason) for each in outcome.attempts] == [("s5/1", "no mood")]


def test_a_mask_is_given_only_if_asked() -> None:
    left = np.zeros((16, 24), np.uint8)
    left[:, :5] = 255
    asked = sample("5", mask=Image(encode_png(left)))
    for step, edited in ((made(with_mask=True), 16 * 5 * 3), (made(), 16 * 24 * 3)):
        (outcome,) = step.process([asked])
        assert isinstance(outcome, Keep)
        assert outcome.samples[0].target is not None
        assert (decode(outcome.samples[0].target.bytes) == 105).sum() == edited


def test_a_mask_that_is_of_no_use_is_dropped_with_the_reason() -> None:
    black = Image(encode_png(np.zeros((16, 24), np.uint8)))
    small = Image(encode_png(np.full((8, 8), 255, np.uint8)))
    outcomes = made(with_mask=True).process(
        [sample("5", mask=black), sample("6", mask=small), sample("7")]
    )
    assert [each.reason for each in outcomes if isinstance(each, Drop)] == [
        "the mask is all black: it allows editing nowhere",
        "the mask has another shape than the picture",
    ]
    assert isinstance(outcomes[2], Keep)


def test_requests_are_sent_in_batches() -> None:
    Brighter.calls.clear()
    made(batch=2).process([sample(str(number)) for number in range(1, 6)])
    assert Brighter.calls == [2, 2, 1]


def test_it_needs_what_the_editor_needs_and_has_its_fingerprint() -> None:
    step = made()
    assert step.resources == GPU
    assert step.parameters["editor"]["fingerprint"] == "brighter-1"
    assert StepSpec("build", "edit", "edit", {"editor": "copy"}).create().resources == CPU


def test_an_editor_with_weights_takes_a_gpu_if_there_is_one_and_says_what_is_missing() -> None:
    settings = {"editor": "diffusion:somewhere/that-is-not-here"}
    step: EditStep = StepSpec("build", "edit", "edit", settings).create()
    assert step.resources == Resources(gpus=1, gpu_optional=True)
    with pytest.raises(UnavailableError, match="that-is-not-here"):
        step.setup(StepContext(0, "train"))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_recipe_edits_with_the_darkroom(tmp_path: Path, workers: int) -> None:
    sources = [
        StepSpec("source", "photos", "photos", {"size": 64, "train": 3, "heldout": 0, "seed": 0})
    ]
    steps = [
        StepSpec("build", "ask", f"{__name__}:Asking", {}),
        StepSpec("build", "edit", "edit", {"editor": "darkroom"}),
    ]
    build(sources, steps, out=tmp_path, options=Options(workers=workers))
    edited = list(read_samples(tmp_path / "data", "train"))
    assert len(edited) == 3
    assert all(each.target is not None and each.target != each.source for each in edited)


class Asking:
    """Gives every sample an instruction."""

    name = "asking"
    version = "1"
    parameters: dict[str, Any] = {}  # noqa: RUF012
    needs: frozenset[str] = frozenset()
    adds = frozenset({"instruction"})

    def setup(self, context: StepContext) -> None:
        pass

    def process(self, batch: list[EditSample]) -> list[Keep]:
        from dataclasses import replace

        return [Keep((replace(each, instruction="make it sepia"),)) for each in batch]
