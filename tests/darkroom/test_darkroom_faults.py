"""Faults: their kinds and frequencies, and that applying them is exact and repeatable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from truth_cases import Case, cases, faulty

from editloop.darkroom.faults import (
    KINDS,
    Fault,
    Occasion,
    Truth,
    apply_faults,
    draw_faults,
    fault_from_json,
    fault_to_json,
)
from editloop.runtime.seeding import generator
from editloop.schema import PERSPECTIVES, EditType, Pixels, canonical_json

LOCAL = Occasion(EditType.LOCAL, "red ball", wrong=frozenset({"attribute", "object"}))
WHOLE = Occasion(EditType.GLOBAL, whole=True)


def _drawn(rate: float, occasion: Occasion, count: int = 2000) -> list[tuple[Fault, ...]]:
    return [draw_faults(rate, generator("draw", at), occasion) for at in range(count)]


def test_rate_zero_is_clean() -> None:
    assert not any(_drawn(0.0, LOCAL, 300))


def test_rate_one_has_one_fault_of_each_family() -> None:
    for faults in _drawn(1.0, LOCAL, 300):
        assert [fault.family for fault in faults] == list(PERSPECTIVES)


def test_at_the_default_rate_most_samples_have_a_fault_in_each_family() -> None:
    """Average over the seven edit types; see the Multi-Reward paper's Figure 3."""
    families = Counter(
        fault.family
        for edit_type in EditType
        for faults in _drawn(0.6, Occasion(edit_type), 300)
        for fault in faults
    )
    for family in PERSPECTIVES:
        assert 0.55 < families[family] / 2100 < 0.65


def test_families_are_independent() -> None:
    drawn = [{fault.family for fault in faults} for faults in _drawn(0.6, LOCAL)]
    present = np.array([[family in each for family in PERSPECTIVES] for each in drawn])
    assert np.abs(np.corrcoef(present.T) - np.eye(3)).max() < 0.08


@pytest.mark.parametrize("occasion", [LOCAL, WHOLE])
def test_one_fault_of_a_family_at_one_severity_is_in_over_two_fifths_of_the_samples(
    occasion: Occasion,
) -> None:
    """With the rest of its family, an L1 loss, which learns a median, reproduces it."""
    drawn = Counter((f.family, f.kind, f.severity) for each in _drawn(0.6, occasion) for f in each)
    for family in ("preserving", "quality"):
        assert max(n for (of, _, _), n in drawn.items() if of == family) / 2000 > 0.4


def test_every_kind_happens() -> None:
    kinds = {fault.kind for faults in _drawn(1.0, LOCAL) for fault in faults}
    assert kinds == set(KINDS)


def test_without_an_outside_only_the_layout_can_be_disturbed() -> None:
    faults = [fault for each in _drawn(1.0, WHOLE) for fault in each]
    assert not any(KINDS[fault.kind].needs_outside for fault in faults)
    assert {fault.kind for fault in faults if fault.family == "preserving"} == {"shift", "zoom"}


def test_wrong_renders_are_only_asked_for_where_there_are_some() -> None:
    occasion = Occasion(EditType.LOCAL, "red ball", wrong=frozenset({"object"}))
    kinds = {fault.kind for each in _drawn(1.0, occasion) for fault in each}
    assert "wrong_object" in kinds
    assert "wrong_attribute" not in kinds


def test_a_higher_rate_only_adds_faults() -> None:
    for few, many in zip(_drawn(0.3, LOCAL, 200), _drawn(0.6, LOCAL, 200), strict=True):
        assert set(few) <= set(many)


def test_the_same_seed_draws_the_same_faults() -> None:
    assert _drawn(0.6, LOCAL, 50) == _drawn(0.6, LOCAL, 50)


def test_severities_lie_in_their_range() -> None:
    for fault in (fault for each in _drawn(1.0, LOCAL) for fault in each):
        low, high = KINDS[fault.kind].spread
        assert fault.severity == KINDS[fault.kind].typical or low <= fault.severity <= high


def test_texts_name_the_object_and_vary() -> None:
    faults = [fault for each in _drawn(1.0, LOCAL) for fault in each]
    texts = {fault.text for fault in faults if fault.kind == "nothing"}
    assert len(texts) > 2
    assert "the red ball was not changed" in texts
    assert not any("{" in fault.text for fault in faults)


@pytest.mark.parametrize("edit_type", list(EditType))
def test_texts_suit_every_edit_type(edit_type: EditType) -> None:
    occasion = Occasion(edit_type, wrong=frozenset({"attribute", "object"}))
    for fault in (fault for each in _drawn(1.0, occasion, 200) for fault in each):
        assert fault.text
        assert "None" not in fault.text


def test_a_fault_survives_its_record() -> None:
    for fault in (fault for each in _drawn(1.0, LOCAL, 50) for fault in each):
        record = fault_to_json(fault)
        assert canonical_json(record)
        assert fault_from_json(record) == fault


@pytest.fixture(scope="module")
def case() -> Case:
    return next(
        case
        for case in cases("astronaut", 64)
        if case.operation == "recolour" and not case.occasion.whole
    )


def test_no_faults_leave_the_target(case: Case) -> None:
    assert np.array_equal(faulty(case), case.truth.target)


def test_nothing_is_the_source(case: Case) -> None:
    edited = faulty(case, Fault("following", "nothing", 1.0, ""))
    assert np.array_equal(edited, case.truth.source)


def test_faults_are_applied_family_by_family(case: Case) -> None:
    nothing = Fault("following", "nothing", 1.0, "")
    cast = Fault("preserving", "colour_cast", 0.6, "")
    ringing = Fault("quality", "ringing", 0.6, "")
    ordered = faulty(case, nothing, cast, ringing)
    assert np.array_equal(faulty(case, ringing, cast, nothing), ordered)
    assert not np.array_equal(faulty(case, nothing, cast), ordered)


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_same_fault_gives_the_same_bytes_and_changes_no_input(kind: str) -> None:
    case = next(
        case
        for case in cases("astronaut", 64)
        if not case.occasion.whole and (KINDS[kind].needs_wrong or "") in {"", *case.truth.wrong}
    )
    before = case.truth.target.copy()
    edited = faulty(case, Fault(KINDS[kind].family, kind, 0.6, ""))
    again = faulty(case, Fault(KINDS[kind].family, kind, 0.6, ""))
    assert edited.dtype == np.uint8
    assert edited.shape == before.shape
    assert not np.array_equal(edited, before)
    assert np.array_equal(edited, again)
    assert np.array_equal(case.truth.target, before)


class _Untouched(Mapping[str, Pixels]):
    """Wrong renders that must not be made."""

    def __getitem__(self, key: str) -> Pixels:
        raise AssertionError(f"{key} was rendered")

    def __iter__(self) -> Iterator[str]:
        return iter(("attribute", "object"))

    def __len__(self) -> int:
        return 2


def test_a_wrong_render_is_not_made_unless_its_fault_was_drawn(case: Case) -> None:
    truth = Truth(case.truth.source, case.truth.target, case.truth.mask, _Untouched())
    fault: Any = Fault("following", "half_strength", 0.5, "")
    assert apply_faults(truth, [fault], generator("a")).shape == truth.target.shape
    with pytest.raises(AssertionError, match="attribute was rendered"):
        apply_faults(truth, [Fault("following", "wrong_attribute", 1.0, "")], generator("a"))
