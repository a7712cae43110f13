import pytest
import torch

from editloop.models.guidance import branches, guided
from editloop.models.inputs import EditInputs

EMPTY = torch.tensor([1, 2, 0])


def predict(inputs: EditInputs) -> torch.Tensor:
    """A stand-in network whose output encodes the conditions it got."""
    return inputs.source * 3 + inputs.text.float().sum(1)[:, None] + 1


def given() -> EditInputs:
    return EditInputs(torch.tensor([[0.5], [-2.0]]), torch.tensor([[1, 7, 2], [1, 9, 2]]))


def equation_3(text: float, image: float) -> torch.Tensor:
    inputs = given()
    empty = EMPTY.expand_as(inputs.text)
    neither = predict(EditInputs(torch.zeros_like(inputs.source), empty))
    only_source = predict(EditInputs(inputs.source, empty))
    both = predict(inputs)
    return neither + image * (only_source - neither) + text * (both - only_source)


@pytest.mark.parametrize(
    "scales", [(7.5, 1.5), (1.0, 1.0), (3.0, 1.0), (1.0, 2.0), (2.0, 2.0), (0, 0)]
)
def test_the_weights_are_those_of_equation_3(scales) -> None:
    made = guided(predict, given(), EMPTY, branches(*scales))
    assert torch.allclose(made, equation_3(*scales), atol=1e-5)


@pytest.mark.parametrize(
    ("scales", "runs"), [((1.0, 1.0), 1), ((3.0, 1.0), 2), ((2.0, 2.0), 2), ((7.5, 1.5), 3)]
)
def test_a_branch_of_weight_zero_is_not_run(scales, runs) -> None:
    seen = []
    guided(lambda inputs: seen.append(inputs) or predict(inputs), given(), EMPTY, branches(*scales))
    assert len(seen) == runs


def test_without_guidance_the_answer_is_the_networks_own_bit_for_bit() -> None:
    assert torch.equal(guided(predict, given(), EMPTY, branches(1.0, 1.0)), predict(given()))
