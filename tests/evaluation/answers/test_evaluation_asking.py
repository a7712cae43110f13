"""Requests to editors: batches, masks, seeds, sessions on their own pictures."""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from editloop.editors.requests import UNSEEN
from editloop.errors import FailureClass, StepError
from editloop.evaluation.answers.asking import Clock, EditingSettings, edit_chunk
from editloop.evaluation.answers.cases import read_chunks
from editloop.evaluation.answers.measuring import measure_chunk
from editloop.evaluation.darkroom.measuring import Measures
from editloop.images.codec import decode, decode_mask, encode_png, resize
from editloop.images.masks import NOWHERE
from editloop.schema import (
    EditedPair,
    EditRequest,
    EditSample,
    Image,
    Json,
    Pixels,
    Unedited,
    Unscored,
)
from evaluation_fakes import (
    Choosy,
    Cropping,
    Fake,
    FakeJudge,
    Forgetful,
    Light,
    Still,
    sessions,
    single_edits,
)
from sized_editors import Unchanging


def run(
    editor: Fake, samples: list[EditSample], *, with_mask: bool = False, batch: int = 4
) -> list[Json]:
    Fake.asked.clear()
    _, sequences = next(read_chunks(samples, 8))
    asking = EditingSettings(seed=7, batch=batch, with_mask=with_mask)
    edits = edit_chunk(editor, sequences, asking, Clock(), decode).to_pylist()
    numbers = measure_chunk(sequences, edits, Measures(FakeJudge()), decode).to_pylist()
    return [{**edit, **found} for edit, found in zip(edits, numbers, strict=True)]


def value(row: Json, name: str) -> float | None:
    return next(number["value"] for number in row["numbers"] if number["name"] == name)


def test_the_truth_is_reached_where_the_edit_is_known() -> None:
    rows = run(Light(Light.Settings()), list(single_edits(6)), with_mask=True)
    assert [value(row, "l1") for row in rows] == [0.0] * 6
    assert [value(row, "all_accuracy") for row in rows] == [1.0] * 6


def test_a_mask_is_given_only_where_the_benchmark_gives_one() -> None:
    run(Still(Still.Settings()), list(single_edits(3)))
    assert [request.mask for request in Fake.asked] == [None] * 3
    run(Still(Still.Settings()), list(single_edits(3)), with_mask=True)
    assert all(request.mask is not None for request in Fake.asked)


def test_a_black_mask_is_not_sent_to_an_editor_and_the_case_is_unedited() -> None:
    first, second = single_edits(2)
    black = Image(encode_png(np.zeros_like(decode_mask(first.mask.bytes))))
    rows = run(Still(Still.Settings()), [replace(first, mask=black), second], with_mask=True)
    assert [row["unedited"] for row in rows] == [NOWHERE, None]
    assert [request.id for request in Fake.asked] == [second.id]
    assert value(rows[0], "l1") is None


def test_a_mask_of_another_shape_is_a_reason_and_no_guess() -> None:
    (first,) = single_edits(1)
    odd = replace(first, mask=Image(encode_png(np.full((8, 80), 255, np.uint8))))
    (row,) = run(Still(Still.Settings()), [odd], with_mask=True)
    assert row["unedited"].startswith("the mask is 80x8, its picture ")


class Served(Still):
    """An editor whose server does not make a picture, and that takes many requests at once."""

    in_flight = 64
    answer_with = Unedited("")

    def edit(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        self.asked.extend(requests)
        return [self.answer_with, *(request.image for request in requests[1:])]


def test_a_refused_edit_is_unedited_and_one_that_failed_for_now_stops_the_run() -> None:
    editor = Served(Served.Settings())
    editor.answer_with = Unedited("refused: unsafe", "refused", FailureClass.POLICY)
    rows = run(editor, list(single_edits(6)), batch=2)
    assert [row["unedited"] for row in rows] == ["refused: unsafe", *[None] * 5]  # in one call
    editor.answer_with = Unedited("over-budget: 1 USD", "over-budget", FailureClass.TRANSIENT)
    with pytest.raises(StepError, match="no picture for 1 of 6 cases, for now"):
        run(editor, list(single_edits(6)))


class Seeing(Still):
    """Takes reference pictures."""

    uses_references = True


def test_only_an_editor_that_takes_references_is_asked_for_an_edit_with_some() -> None:
    (plain,) = single_edits(1)
    cups = [Image(encode_png(np.full((5, 7, 3), level, np.uint8))) for level in (1, 2)]
    first, second = (replace(plain, references=(cup,)) for cup in cups)
    (row,) = run(Still(Still.Settings()), [first])
    assert (row["unedited"], Fake.asked) == (UNSEEN, [])
    (row,) = run(Seeing(Seeing.Settings()), [first])
    assert row["unedited"] is None
    assert [each.max() for each in Fake.asked[0].references] == [1]
    chunks = [next(read_chunks([each], 8))[0] for each in (plain, first, second)]
    assert len({chunk.digest for chunk in chunks}) == 3
    assert len({chunk.cases[0].digest for chunk in chunks}) == 3


def test_seeds_depend_on_the_case_and_not_on_the_batch() -> None:
    run(Still(Still.Settings()), list(single_edits(5)), batch=2)
    seeds = [request.seed for request in Fake.asked]
    run(Still(Still.Settings()), list(single_edits(5)), batch=5)
    assert seeds == [request.seed for request in Fake.asked]
    assert len(set(seeds)) == 5


def test_a_later_turn_starts_from_the_editors_own_picture() -> None:
    rows = run(Light(Light.Settings(share=0.5)), list(sessions(1)))
    pictures = [decode(row["edited"]) for row in rows]
    asked = [request.image for request in Fake.asked]
    for (before, after), source in zip(pairwise(pictures), asked[1:], strict=True):
        assert (before == source).all()
        assert not (after == source).all()


def test_rows_are_in_the_order_of_the_cases() -> None:
    samples = list(sessions(3))
    rows = run(Still(Still.Settings()), samples, batch=2)
    assert [(row["id"], row["turn"]) for row in rows] == [(each.id, each.turn) for each in samples]


def test_drift_is_measured_against_the_truth_of_each_turn() -> None:
    rows = run(Still(Still.Settings()), list(sessions(1)))
    distances = [value(row, "l1_inside") for row in rows]
    assert distances == sorted(distances)
    assert distances[0] < distances[-1]


def test_what_is_not_edited_has_a_reason_and_no_number() -> None:
    rows = run(Choosy(Choosy.Settings()), list(single_edits(3)))
    assert rows[0]["edited"] is None
    assert rows[0]["unedited"] == "it does not edit locally"
    assert {number["value"] for number in rows[0]["numbers"]} == {None}
    assert {number["reason"] for number in rows[0]["numbers"]} == {
        "unedited: it does not edit locally"
    }
    assert value(rows[1], "l1") is not None


def test_turns_after_an_unedited_one_are_not_asked() -> None:
    rows = run(Choosy(Choosy.Settings()), list(sessions(2))[3:])
    assert [row["unedited"] for row in rows] == [
        None,
        "it does not edit locally",
        "the turn before was not edited",
    ]
    assert len(Fake.asked) == 2


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(StepError, match="wrong shape or dtype"):
        run(Cropping(Cropping.Settings()), list(single_edits(1)))


def test_lost_answers_are_refused() -> None:
    with pytest.raises(StepError, match="2 answers to 3 requests"):
        run(Forgetful(Forgetful.Settings()), list(single_edits(3)))


def test_the_clock_counts_the_edits_that_were_asked() -> None:
    clock = Clock()
    _, sequences = next(read_chunks(single_edits(5), 8))
    asking = EditingSettings(seed=0, batch=2, with_mask=False)
    edit_chunk(Still(Still.Settings()), sequences, asking, clock, decode)
    assert clock.edits == 5
    assert clock.edit_seconds > 0


def photos(count: int, turns: int) -> list[EditSample]:
    """Sessions of 96x48 px with a mask, larger than the working size of `Unchanging`."""
    samples = []
    for sample in sessions(count, turns):
        source, mask = decode(sample.source.bytes), decode_mask(sample.mask.bytes)
        larger = [Image(encode_png(resize(each, 48, 96))) for each in (source, mask)]
        samples.append(replace(sample, source=larger[0], mask=larger[1]))
    return samples


@pytest.mark.parametrize("unscaled", [True, False])
def test_sessions_go_on_at_the_working_size(tmp_path: Path, unscaled: bool) -> None:
    Unchanging.asked.clear()
    editor = Unchanging(Unchanging.Settings(target=str(tmp_path)))
    _, sequences = next(read_chunks(photos(1, 3), 8))
    asking = EditingSettings(7, 4, with_mask=True, unscaled=unscaled)
    rows = edit_chunk(editor, sequences, asking, Clock(), decode).to_pylist()
    shapes = [request.image.shape[:2] for request in Unchanging.asked]
    assert shapes == [(48, 96), (32, 64), (32, 64)]
    assert {request.mask.shape for request in Unchanging.asked} == {(48, 96)}
    pictures = [decode(row["edited"]) for row in rows]
    assert {each.shape[:2] for each in pictures} == {(32, 64) if unscaled else (48, 96)}
    assert all((each == pictures[0]).all() for each in pictures)


def test_a_shared_seed_is_that_of_every_edit() -> None:
    Fake.asked.clear()
    _, sequences = next(read_chunks(sessions(2), 8))
    asking = EditingSettings(42, 4, shared_seed=True)
    edit_chunk(Still(Still.Settings()), sequences, asking, Clock(), decode)
    assert [request.seed for request in Fake.asked] == [42] * 6


class Watching:
    """Measures nothing; records how many decoded pictures are in memory when it is called."""

    names, needs, parameters = ("none",), frozenset({"source", "edited", "target"}), {}

    def __init__(self, at_once: int | None) -> None:
        self.at_once = at_once
        self.alive: list[int] = []
        self._decoded: list[weakref.ref[Pixels]] = []

    def decode(self, data: bytes) -> Pixels:
        pixels = decode(data)
        self._decoded.append(weakref.ref(pixels))
        return pixels

    def begin(self, batch: Sequence[EditedPair]) -> Callable[[], list[dict[str, Unscored]]]:
        self.alive.append(sum(each() is not None for each in self._decoded))
        found = [{"none": Unscored(pair.id)} for pair in batch]
        return lambda: found


@pytest.mark.parametrize(("at_once", "shown"), [(None, 1), (1, 6)])
def test_pictures_are_let_go_once_they_are_measured(at_once: int | None, shown: int) -> None:
    _, sequences = next(read_chunks(single_edits(6), 8))
    edits = edit_chunk(Light(Light.Settings()), sequences, EditingSettings(7, 4), Clock(), decode)
    watching = Watching(at_once)
    rows = measure_chunk(sequences, edits.to_pylist(), watching, watching.decode).to_pylist()
    assert len(watching.alive) == shown
    assert max(watching.alive) <= 3 * 6 // shown
    reasons = [row["numbers"][0]["reason"] for row in rows]
    assert reasons == [sample.id for (sample,) in sequences]
