"""LPIPS 0.1's networks and its distance (Zhang et al. 2018, equation 1).

The layers are those of torchvision's AlexNet and SqueezeNet 1.1, so that their published weights
can be loaded; the weights of the distance are the paper's own. Networks are created without
weights, and all weights must then be loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from editloop.schema import Pixels

__all__ = ["Distance", "Fire", "Net"]

Net: TypeAlias = Literal["alex", "squeeze"]

# The layers after which features are compared, and their numbers of channels.
_TAPS = {"alex": (1, 4, 7, 9, 11), "squeeze": (1, 4, 7, 9, 10, 11, 12)}
_CHANNELS = {"alex": (64, 192, 384, 256, 256), "squeeze": (64, 128, 256, 384, 384, 512, 512)}

_SHIFT = (-0.030, -0.088, -0.188)  # of values in [-1, 1]
_SCALE = (0.458, 0.448, 0.450)
_TINY = 1e-10  # avoids a division by 0 for a patch without features


class Distance(nn.Module):
    """LPIPS between two pictures of one size; `load_published` loads its weights."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self._taps = _TAPS[net]
        with torch.device("meta"):  # no weights yet, and no random ones
            self.features = _alexnet() if net == "alex" else _squeezenet()
            self.heads = nn.ParameterList(torch.empty(width) for width in _CHANNELS[net])

    def load_published(self, network: Mapping[str, Tensor], heads: Mapping[str, Tensor]) -> None:
        """Load torchvision's weights and LPIPS's own; KeyError or RuntimeError if unfit."""
        own = {name: value for name, value in network.items() if name.startswith("features.")}
        for index in range(len(self._taps)):
            own[f"heads.{index}"] = heads[f"lin{index}.model.1.weight"].flatten()
        self.load_state_dict(own, assign=True)

    def between(self, first: Pixels, second: Pixels) -> float:
        """Return the distance, 0 or more."""
        total = torch.zeros(())
        for weight, features in zip(self.heads, self._features(first, second), strict=True):
            one, other = features / (features.norm(dim=1, keepdim=True) + _TINY)  # [c, h, w]
            difference = (one - other) ** 2
            total = total + (weight[:, None, None] * difference).sum(dim=0).mean().cpu()
        return float(total)

    def _features(self, first: Pixels, second: Pixels) -> Iterator[Tensor]:
        """Yield each compared layer's features of both pictures: [2, c, h, w]."""
        pixels = torch.from_numpy(np.stack([first, second])).permute(0, 3, 1, 2)
        values = pixels.to(self.heads[0].device, torch.float32) / 127.5 - 1
        given = (values - _channels(values, _SHIFT)) / _channels(values, _SCALE)
        for index, layer in enumerate(self.features):
            given = layer(given)
            if index in self._taps:
                yield given


class Fire(nn.Module):
    """SqueezeNet's block: a convolution to few channels, then two parallel convolutions."""

    def __init__(self, given: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(given, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, given: Tensor) -> Tensor:
        """Compute features [n, 2 * expanded, h, w] from [n, given, h, w]."""
        squeezed = self.squeeze(given).relu()
        return torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], dim=1).relu()


def _channels(like: Tensor, values: tuple[float, ...]) -> Tensor:
    return like.new_tensor(values)[:, None, None]


def _alexnet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
    )


def _squeezenet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, ceil_mode=True),
        Fire(64, 16, 64),
        Fire(128, 16, 64),
        nn.MaxPool2d(3, stride=2, ceil_mode=True),
        Fire(128, 32, 128),
        Fire(256, 32, 128),
        nn.MaxPool2d(3, stride=2, ceil_mode=True),
        Fire(256, 48, 192),
        Fire(384, 48, 192),
        Fire(384, 64, 256),
        Fire(512, 64, 256),
    )
