"""Pairs with recorded faults."""

from collections import Counter

import numpy as np
import pytest

from calibration_judges import facts
from editloop.darkroom.faults import KINDS, Fault
from editloop.judges.calibration.pairs import VARIANTS, TruthPairs
from editloop.schema import PERSPECTIVES, EditType


@pytest.fixture(scope="module")
def cases():
    return list(TruthPairs(0, 21, sizes=(32, 48)))


def test_every_edit_type_has_as_many_pairs(cases) -> None:
    counts = Counter(each.facts.edit_type for each in cases)
    assert counts == dict.fromkeys((kind.value for kind in EditType), 3 * VARIANTS)


def test_every_kind_of_fault_appears_alone_at_several_severities(cases) -> None:
    alone: dict[str, set[float]] = {}
    for each in cases:
        if each.facts.single:
            alone.setdefault(each.facts.single.kind, set()).add(each.facts.single.severity)
    assert alone.keys() == KINDS.keys()
    assert all(len(severities) > 1 for kind, severities in alone.items() if kind != "nothing")


def test_each_edit_has_two_single_faults_of_each_family(cases) -> None:
    for start in range(0, len(cases), VARIANTS):
        singles = [each.facts.single for each in cases[start + 1 : start + 7]]
        assert Counter(fault.family for fault in singles if fault) == dict.fromkeys(PERSPECTIVES, 2)


def test_only_held_out_photos_are_shown(cases) -> None:
    assert {each.facts.scene for each in cases} == {"chelsea", "china", "coffee"}


def test_a_pair_without_a_fault_shows_the_target_and_one_with_nothing_the_source(cases) -> None:
    for each in cases:
        if not each.facts.faults:
            assert np.array_equal(each.pair.edited, each.pair.target)
        if each.facts.single and each.facts.single.kind == "nothing":
            assert np.array_equal(each.pair.edited, each.pair.source)


def test_a_fault_changes_the_picture(cases) -> None:
    assert not any(
        np.array_equal(each.pair.edited, each.pair.target) for each in cases if each.facts.faults
    )


def test_a_pair_does_not_depend_on_which_others_are_asked_for(cases) -> None:
    again = TruthPairs(0, 21, sizes=(32, 48))
    for at in (150, 7, 77):
        assert again[at].facts == cases[at].facts
        assert np.array_equal(again[at].pair.edited, cases[at].pair.edited)
        assert again[at].pair.instruction == cases[at].pair.instruction


def test_ids_are_unique(cases) -> None:
    assert len({each.pair.id for each in cases}) == len(cases)


def test_the_record_is_the_truth_in_points_of_100() -> None:
    case = facts("a", Fault("preserving", "blur", 0.6, ""), Fault("quality", "noise", 0.3, ""))
    found = {name: case.points(name) for name in (*PERSPECTIVES, "alignment", "coherence")}
    assert found == {
        "following": 100,
        "preserving": 40,
        "quality": 70,
        "alignment": 40,
        "coherence": 70,
    }
    assert [case.passes(name) for name in PERSPECTIVES] == [True, False, True]
