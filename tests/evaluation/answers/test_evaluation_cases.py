"""Chunks of held-out cases: fixed order, whole sessions, identified by content."""

from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain

import pytest

from editloop.errors import ChangedError
from editloop.evaluation.answers.cases import UnreadCases, read_chunks
from editloop.schema import EditSample
from evaluation_fakes import sessions, single_edits


def test_chunks_hold_a_fixed_number_of_single_edits_or_of_whole_sessions() -> None:
    samples = list(chain(single_edits(5), sessions(3)))
    mixed = samples[:2] + samples[5:8] + samples[2:5] + samples[8:]
    chunks = [chunk for chunk, _ in read_chunks(mixed, 2)]
    found = Counter((chunk.kind, chunk.index, len(chunk.cases)) for chunk in chunks)
    assert set(found) == {
        ("single-turn", 0, 2),
        ("single-turn", 1, 2),
        ("single-turn", 2, 1),
        ("sessions", 0, 6),
        ("sessions", 1, 3),
    }


def test_a_case_knows_its_photo_type_and_turn() -> None:
    chunk, _ = next(read_chunks(sessions(1), 4))
    assert [(case.turn, case.photo, case.edit_type.value) for case in chunk.cases] == [
        (1, "coffee", "global"),
        (2, "chelsea", "style"),
        (3, "coffee", "local"),
    ]


def test_turns_after_a_missing_one_are_left_out_and_counted() -> None:
    first, _, third = sessions(1)
    left_out: Counter[str] = Counter()
    (chunk, _), *_ = read_chunks([first, third, *single_edits(1)], 1, left_out)
    assert [case.turn for case in chunk.cases] == [1]
    assert left_out == {"an earlier turn of the session is missing": 1}


def test_a_session_without_its_first_turn_is_left_out_whole() -> None:
    left_out: Counter[str] = Counter()
    assert list(read_chunks(list(sessions(1))[1:], 1, left_out)) == []
    assert left_out.total() == 2


def test_a_changed_picture_changes_its_own_chunk_only() -> None:
    samples = list(single_edits(4))
    changed = [*samples[:3], replace(samples[3], source=samples[0].source)]
    before = [chunk.digest for chunk, _ in read_chunks(samples, 2)]
    after = [chunk.digest for chunk, _ in read_chunks(changed, 2)]
    assert before[0] == after[0]
    assert before[1] != after[1]


@dataclass
class Stored:
    """A session that is read later."""

    samples: list[EditSample]

    def read(self) -> list[EditSample]:
        return self.samples


def test_data_that_changed_since_they_were_surveyed_are_refused() -> None:
    chunk, sequences = next(read_chunks(sessions(2), 2))
    first, second = map(Stored, sequences)
    assert UnreadCases(chunk.digests, (first, second)).read() == sequences
    second.samples = [replace(second.samples[0], target=first.samples[0].target)]
    with pytest.raises(ChangedError, match="the data changed during the evaluation"):
        UnreadCases(chunk.digests, (first, second)).read()
