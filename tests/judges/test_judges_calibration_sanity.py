"""The sanity suite: its pictures, and the checks that judges pass."""

import numpy as np
import pytest

from calibration_judges import score
from editloop.judges.calibration.asking import Judged
from editloop.judges.calibration.sanity import check_sanity
from editloop.judges.calibration.sanity_cases import VARIANTS, SanityFacts, sanity_cases
from editloop.schema import PERSPECTIVES, Score, Unscored

EDITS = [f"edit {at}" for at in range(20)]
RUINED = ("ruined", "told", "words-shown", "order-shown")


def sensible(variant: str) -> dict[str, Score | Unscored]:
    """Return the verdict of a good judge."""
    kind, _, amount = variant.partition("-")
    bad = dict.fromkeys(PERSPECTIVES, score(0.5))
    good = dict.fromkeys(PERSPECTIVES, score(5.0))
    if variant in RUINED or variant in ("black", "shuffled"):
        return bad
    if variant in ("copy", "swapped-instruction", "reversed"):
        return {**good, "following": score(0.0)}
    if kind == "shift":
        return {**good, "preserving": score(5 - 0.2 * int(amount))}
    if kind == "jpeg":
        return {**good, "quality": score(5 * int(amount) / 100)}
    return good


def outcomes(verdict, *perspectives, needs=None) -> dict[tuple[str, str], str]:
    found = results(verdict, *perspectives, needs=needs)
    return {(row["check"], row["perspective"]): row["outcome"] for row in found["checks"]}


def results(verdict, *perspectives, needs=None):
    cases = [SanityFacts(edit, variant) for edit in EDITS for variant in VARIANTS]
    verdicts = [verdict(case.variant) for case in cases]
    judged = Judged.of(cases, verdicts, perspectives or PERSPECTIVES)
    return check_sanity(judged, 100, np.random.default_rng(0), needs)


def failed(verdict) -> set[tuple[str, str]]:
    return {place for place, outcome in outcomes(verdict).items() if outcome == "fail"}


def test_a_sensible_judge_passes_every_check() -> None:
    assert set(outcomes(sensible).values()) == {"pass"}


def but(changes):
    return lambda variant: {**sensible(variant), **changes.get(variant, {})}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"copy": {"following": score(4.0)}}, {("untouched copy", "following")}),
        ({"copy": {"preserving": score(1.0)}}, {("untouched copy", "preserving")}),
        ({"black": {"quality": score(3.0)}}, {("black image", "quality")}),
        (
            {"swapped-instruction": {"following": score(4.0)}},
            {("swapped instruction", "following")},
        ),
        ({"shuffled": {"preserving": score(4.0)}}, {("shuffled pair", "preserving")}),
        ({"reversed": {"following": score(4.0)}}, {("source and target swapped", "following")}),
        ({"shift-1": {"quality": score(3.5)}}, {("1 px shift", "quality")}),
        ({"shift-10": {"preserving": score(5.0)}}, {("1 to 10 px shift", "preserving")}),
        ({"jpeg-95": {"preserving": score(4.0)}}, {("JPEG 95", "preserving")}),
        ({"jpeg-50": {"quality": score(4.5)}}, {("JPEG 95 to 10", "quality")}),  # a step up
        ({"told": {"quality": score(1.5)}}, {("order in the instruction", "quality")}),
        ({"order-shown": {"following": score(5.0)}}, {("order in the picture", "following")}),
    ],
)  # fmt: skip
def test_a_judge_that_is_wrong_in_one_way_fails_the_check_of_it(changes, expected) -> None:
    assert failed(but(changes)) == expected


def test_a_judge_that_fails_the_right_edit_is_found_out() -> None:
    found = outcomes(but({"right": {"quality": score(2.5)}}))
    assert found["edit done right", "quality"] == "fail"


def test_a_few_that_are_talked_over_are_too_many_though_the_mean_hardly_rises() -> None:
    turned = iter([True, True] + [False] * 18)

    def swayed(variant):
        if variant == "told" and next(turned):
            return {**sensible(variant), "following": score(3.0)}
        return sensible(variant)

    assert failed(swayed) == {("order in the instruction", "following")}


def test_a_judge_that_says_neither_yes_nor_no_is_measured_against_the_edit_done_right() -> None:
    def aligned(variant):
        found = sensible(variant)
        return {"alignment": Score(20 * min(found["following"].value, found["preserving"].value))}

    found = outcomes(aligned, "alignment")
    assert found["untouched copy", "alignment"] == "pass"
    assert found["edit done right", "alignment"] == "not applicable"
    assert found["untouched copy", "quality"] == "not applicable"
    rows = results(aligned, "alignment")["checks"]
    assert "20 points below the edit done right in at least 90%" in {row["rule"] for row in rows}


def test_what_most_cases_lack_is_not_applicable_with_the_reason() -> None:
    def silent(variant):
        if variant == "reversed":
            return dict.fromkeys(PERSPECTIVES, Unscored("no target"))
        return sensible(variant)

    (row,) = [
        row for row in results(silent)["checks"] if row["check"] == "source and target swapped"
    ]
    assert row["outcome"] == "not applicable"
    assert row["reason"] == "0 of 20 have the number: no target"
    assert row["number"] is None


def test_a_judge_that_reads_no_instruction_is_not_asked_to_resist_one() -> None:
    found = outcomes(sensible, needs={"source", "edited"})
    assert found["order in the instruction", "following"] == "not applicable"
    assert found["order in the picture", "following"] == "pass"


def test_every_rule_states_itself_and_its_number() -> None:
    for row in results(sensible)["checks"]:
        assert row["rule"]
        assert row["number"]["low"] <= row["number"]["mean"] <= row["number"]["high"]


def test_ladders_hold_the_means_from_the_edit_done_right_on() -> None:
    ladder = results(sensible)["ladders"]["shift"]["preserving"]
    assert [step["mean"] for step in ladder] == pytest.approx([100, 96, 92, 80, 60])


@pytest.fixture(scope="module")
def shown():
    return {facts.variant: pair for pair, facts in sanity_cases(0, 1)}


def test_a_copy_shows_the_source_and_a_black_image_nothing(shown) -> None:
    assert np.array_equal(shown["copy"].edited, shown["copy"].source)
    assert not shown["black"].edited.any()


def test_a_swapped_instruction_asks_for_something_else_of_the_same_photo(shown) -> None:
    right, swapped = shown["right"], shown["swapped-instruction"]
    assert np.array_equal(swapped.source, right.source)
    assert np.array_equal(swapped.edited, right.edited)
    assert swapped.instruction != right.instruction
    assert swapped.edit_type != right.edit_type
    assert swapped.captions.target != right.captions.target
    assert not np.array_equal(swapped.target, right.target)


def test_a_shuffled_pair_shows_another_photo(shown) -> None:
    apart = np.abs(shown["shuffled"].edited.astype(int) - shown["right"].edited)
    assert apart.mean() > 20


def test_a_reversed_pair_runs_from_target_to_source_and_knows_no_target(shown) -> None:
    right, back = shown["right"], shown["reversed"]
    assert np.array_equal(back.source, right.target)
    assert np.array_equal(back.edited, right.source)
    assert back.target is None


def test_a_shift_moves_by_whole_pixels_and_changes_nothing_else(shown) -> None:
    right, shifted = shown["right"].edited, shown["shift-5"].edited
    assert np.array_equal(shifted[:, 5:], right[:, :-5])


def test_orders_stand_in_the_instruction_and_in_the_picture_beside_the_same_without(shown) -> None:
    ruined, told = shown["ruined"], shown["told"]
    assert np.array_equal(ruined.edited, told.edited)
    assert told.instruction.startswith(f"{ruined.instruction}\n")
    words, order = shown["words-shown"].edited, shown["order-shown"].edited
    apart = np.flatnonzero((words != order).any(axis=(1, 2)))
    assert len(apart) > 0
    assert apart.min() > 190  # only on the strip at the bottom
    assert np.array_equal(words[:190], ruined.edited[:190])
