"""Each row gets one outcome, whatever a step does; a row that breaks it fails alone."""

from __future__ import annotations

from typing import Any

import pytest

from editloop.errors import FailureClass, StepError, UnavailableError
from editloop.kernel.contract import answers, check_step, load_stage, step_stage
from editloop.kernel.steps import Fail, Keep, Outcome
from editloop.schema import EditSample
from kernel_parts import part, picture, step


def samples(count: int = 8) -> list[EditSample]:
    return [EditSample(f"s{index}", picture(str(index), 40)) for index in range(count)]


def answered(trouble: str, on: str = "s5") -> list[Outcome]:
    made = step("TroubleStep", on={on: trouble}).create()
    return answers(step_stage("trouble", made), samples())


def the_failure(outcomes: list[Outcome], at: int = 5) -> Fail:
    """Return the only failure, after checking that no other row is affected."""
    assert [isinstance(outcome, Keep) for outcome in outcomes] == [i != at for i in range(8)]
    failure = outcomes[at]
    assert isinstance(failure, Fail)
    return failure


def test_a_row_that_raises_is_found_by_bisection() -> None:
    failure = the_failure(answered("raise"))
    assert (failure.code, failure.failure) == ("ValueError", FailureClass.BUG)
    assert "cannot take s5" in failure.message
    assert "kernel_parts.py:" in failure.message


@pytest.mark.parametrize(("trouble", "code"), [("exit", "SystemExit"), ("memory", "MemoryError")])
def test_leaving_and_running_out_of_memory_are_bugs_of_a_row(trouble: str, code: str) -> None:
    failure = the_failure(answered(trouble))
    assert (failure.code, failure.failure) == (code, FailureClass.BUG)


def test_an_image_error_keeps_its_code_and_is_permanent() -> None:
    failure = the_failure(answered("image"))
    assert (failure.code, failure.failure) == ("pixel-bomb", FailureClass.PERMANENT)


def test_what_no_row_is_to_blame_for_stops_everything() -> None:
    with pytest.raises(UnavailableError):
        answered("unavailable")


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        ("too many", "gave 2 outcomes for 1 inputs"),
        ("none", "answered with NoneType"),
        ("nothing", "kept an input as no samples"),
        ("twice", "gave one id to several samples"),
        ("bad id", "an id that cannot be stored"),
    ],
)
def test_a_broken_contract_says_what_was_broken(trouble: str, says: str) -> None:
    failure = the_failure(answered(trouble))
    assert (failure.code, failure.failure) == ("contract", FailureClass.BUG)
    assert says in failure.message


def test_a_sample_without_what_a_step_needs_never_reaches_it() -> None:
    outcomes = answers(step_stage("needy", step("NeedyStep").create()), samples(1))
    assert outcomes == [
        Fail("contract", FailureClass.BUG, "needy needs `mask`, which this sample has not")
    ]


def test_a_step_must_add_what_it_promises() -> None:
    with_mask = [EditSample("a", picture("a", 40), mask=picture("m", 40))]
    (outcome,) = answers(step_stage("needy", step("NeedyStep").create()), with_mask)
    assert isinstance(outcome, Fail)
    assert outcome.message == "needy promises `target_caption`, which sample 'a' has not"


def test_new_samples_get_their_input_as_parent() -> None:
    made = step(drops=0, fails=0, splits=1).create()
    (outcome,) = answers(step_stage("mixed", made), samples(1))
    assert isinstance(outcome, Keep)
    assert [(row.id, row.parent_id) for row in outcome.samples] == [("s0/0", "s0"), ("s0/1", "s0")]


def test_a_step_that_names_an_unknown_field_is_refused() -> None:
    made: Any = step("NeedyStep").create()
    made.needs = frozenset({"masks"})
    with pytest.raises(StepError, match="unknown sample field: masks"):
        check_step("needy", made)


def test_a_source_must_answer_an_item_with_one_sample_of_its_id() -> None:
    made: Any = part("source", "ListSource").create()
    items = list(made.items())[:2]
    made.load = lambda rows: [Keep((EditSample(f"x{row.id}", picture("", 1)),)) for row in rows]
    outcomes = answers(load_stage("list", made), items)
    assert {outcome.code for outcome in outcomes if isinstance(outcome, Fail)} == {"contract"}
