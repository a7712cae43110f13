"""The pocket model's colour change is a 3 x 3 matrix for every pixel of a patch."""

import torch

from editloop.models.pocket import edited
from networks import pocket


def test_a_matrix_mixes_the_colours_of_its_patch() -> None:
    model = pocket(patch=2)
    pixels = torch.randint(0, 256, (1, 4, 4, 3), generator=torch.Generator().manual_seed(0))
    source = model.encode(pixels.to(torch.uint8))
    matrices = torch.randn(1, 3, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    residual = torch.randn(source.shape, generator=torch.Generator().manual_seed(2))
    made = edited(torch.cat([residual, matrices.flatten(1, 2)], dim=1), source)

    values = pixels[0].float() / 127.5 - 1  # [4, 4, 3]
    added = torch.pixel_shuffle(residual, 2)[0].permute(1, 2, 0)
    for y in range(4):
        for x in range(4):
            mixed = matrices[0, :, :, y // 2, x // 2] @ values[y, x]
            wanted = values[y, x] + mixed + added[y, x]
            found = torch.pixel_shuffle(made, 2)[0, :, y, x]
            assert torch.allclose(found, wanted, atol=1e-5)


def test_without_an_answer_the_source_stays() -> None:
    source = torch.randn(2, 12, 3, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(edited(torch.zeros(2, 21, 3, 5), source), source)
