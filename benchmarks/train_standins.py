"""Stand-ins for the torchvision transforms that diffusers' training script calls."""

from __future__ import annotations

import torch
from torch import Tensor

from evaluate_standins import Compose, install_modules

__all__ = ["RandomCrop", "RandomHorizontalFlip", "install_transforms"]


class RandomCrop:
    """Crop a square of `size` px at a random position of pictures [..., height, width]."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __call__(self, pictures: Tensor) -> Tensor:
        top, left = (self._start(side) for side in pictures.shape[-2:])
        return pictures[..., top : top + self._size, left : left + self._size]

    def _start(self, side: int) -> int:
        return int(torch.randint(0, side - self._size + 1, size=(1,)).item())


class RandomHorizontalFlip:
    """Mirror pictures [..., height, width] with probability 1/2."""

    def __call__(self, pictures: Tensor) -> Tensor:
        return pictures.flip(-1) if torch.rand(1) < 0.5 else pictures


def install_transforms() -> None:
    """Make `torchvision.transforms` importable."""
    own = {each.__name__: each for each in (Compose, RandomCrop, RandomHorizontalFlip)}
    install_modules({"torchvision": {}, "torchvision.transforms": own})
