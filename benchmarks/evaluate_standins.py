"""Stand-ins for the released evaluator's imports, over local weights, where they are missing.

`torchvision.transforms` on Pillow pictures, `clip`, `pyiqa`'s check of a file's name and DINO by
`torch.hub`: only what that evaluator calls, with the same arithmetic as those packages. CLIP and
DINO are the local folders' networks in float32, with the caller's batches; they count what they
encode. A package that the evaluator's own folder provides is not replaced.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image

__all__ = [
    "CenterCrop",
    "Compose",
    "Normalize",
    "Resize",
    "Standins",
    "ToTensor",
    "install_modules",
]

_CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".tif", ".tiff")


class Standins:
    """The packages over two encoders, with `counts` of their work and `load_seconds`."""

    def __init__(self, clip: str, dino: str) -> None:
        self._clip, self._dino = clip, dino
        self.counts: Counter[str] = Counter()
        self.load_seconds = 0.0
        self._tokenizer: Any = None

    def install(self, folder: Path) -> list[str]:
        """Make them importable, except those that a folder provides; return their names."""
        made = {
            "clip": {"clip": {"load": self.load_clip, "tokenize": self.tokenize}},
            "torchvision": _torchvision(),
            "pyiqa": {
                "pyiqa": {},
                "pyiqa.utils": {},
                "pyiqa.utils.img_util": {"is_image_file": _is_image_file},
            },
        }
        absent = [name for name in made if PathFinder.find_spec(name, [str(folder)]) is None]
        for name in absent:
            install_modules(made[name])
        vars(torch.hub)["load"] = self.load_dino
        return [*absent, "torch.hub"]

    def load_clip(self, _name: str, device: Any = "cpu") -> tuple[Any, Compose]:
        """Return CLIP like `clip.load`: a model that encodes, and its preprocessing."""
        network = self._loaded(transformers.CLIPModel, self._clip).float().eval()
        side = network.config.vision_config.image_size
        steps: list[Callable[[Any], Any]] = [
            Resize(side, Image.Resampling.BICUBIC),
            CenterCrop(side),
            lambda image: image.convert("RGB"),
            ToTensor(),
            Normalize(*_CLIP),
        ]
        return _Clip(network.to(device), self.counts), Compose(steps)

    def tokenize(self, texts: str | Sequence[str]) -> torch.Tensor:
        """Return token ids [n, length], with zeros after the end token."""
        if self._tokenizer is None:
            self._tokenizer = self._loaded(transformers.CLIPTokenizer, self._clip)
        listed = [texts] if isinstance(texts, str) else texts
        ids = torch.zeros(len(listed), self._tokenizer.model_max_length, dtype=torch.long)
        for row, text in zip(ids, listed, strict=True):
            found = self._tokenizer(text)["input_ids"]
            row[: len(found)] = torch.tensor(found)
        return ids

    def load_dino(self, _repository: str, _name: str) -> torch.nn.Module:
        """Return DINO like `torch.hub`: a module from pictures to class tokens."""
        network = self._loaded(transformers.ViTModel, self._dino, add_pooling_layer=False)
        return _Dino(network.float().eval(), self.counts)

    def _loaded(self, kind: Any, folder: str, **options: Any) -> Any:
        began = time.perf_counter()
        made = kind.from_pretrained(folder, local_files_only=True, **options)
        self.load_seconds += time.perf_counter() - began
        return made


class _Clip:
    def __init__(self, network: torch.nn.Module, counts: Counter[str]) -> None:
        self._network: Any = network
        self._counts = counts

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        self._counts["images_encoded"] += len(images)
        found: torch.Tensor = self._network.get_image_features(images).pooler_output
        return found

    def encode_text(self, ids: torch.Tensor) -> torch.Tensor:
        self._counts["texts_encoded"] += len(ids)
        found: torch.Tensor = self._network.get_text_features(ids).pooler_output
        return found


class _Dino(torch.nn.Module):
    def __init__(self, network: torch.nn.Module, counts: Counter[str]) -> None:
        super().__init__()
        self._network = network
        self._counts = counts

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self._counts["images_encoded"] += len(images)
        states: torch.Tensor = self._network(
            images, interpolate_pos_encoding=True
        ).last_hidden_state
        return states[:, 0]


class Compose:
    """Apply steps one after another."""

    def __init__(self, steps: Sequence[Callable[[Any], Any]]) -> None:
        self._steps = steps

    def __call__(self, value: Any) -> Any:
        for step in self._steps:
            value = step(value)
        return value


class Resize:
    """Resize the shorter side to `size` px with a Pillow filter; the longer one is rounded down."""

    def __init__(self, size: int, interpolation: int = Image.Resampling.BILINEAR) -> None:
        self._size = size
        self._filter = Image.Resampling(interpolation)

    def __call__(self, image: Image.Image) -> Image.Image:
        short, long = sorted(image.size)
        if short == self._size:
            return image
        other = int(self._size * long / short)
        wide = image.width > image.height
        return image.resize((other, self._size) if wide else (self._size, other), self._filter)


class CenterCrop:
    """Crop the centre square of `size` px from a picture that is at least as large."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __call__(self, image: Image.Image) -> Image.Image:
        left, top = (round((side - self._size) / 2) for side in image.size)
        return image.crop((left, top, left + self._size, top + self._size))


class ToTensor:
    """Convert an 8-bit picture to a float tensor in [0, 1], [channels, height, width]."""

    def __call__(self, image: Image.Image) -> torch.Tensor:
        pixels = torch.from_numpy(np.array(image, np.uint8))
        return pixels.permute(2, 0, 1).contiguous().float().div(255)


class Normalize:
    """Subtract each channel's mean and divide by its standard deviation."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self._mean, self._std = (torch.tensor(each)[:, None, None] for each in (mean, std))

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        return image.clone().sub_(self._mean).div_(self._std)


def _torchvision() -> dict[str, dict[str, Any]]:
    """Return the modules that provide the transforms."""
    own = {each.__name__: each for each in (Compose, Resize, CenterCrop, ToTensor, Normalize)}
    package = "torchvision.transforms"
    names: dict[str, dict[str, Any]] = {"torchvision": {}, package: own}
    return {**names, f"{package}.functional": {}, f"{package}.transforms": own}


def install_modules(modules: dict[str, dict[str, Any]]) -> None:
    """Register modules so that `import` finds them, each below its package."""
    for name, content in modules.items():
        module = ModuleType(name)
        module.__path__ = []  # marks a package, so that its submodules are searched
        vars(module).update(content)
        sys.modules[name] = module
        package, _, own = name.rpartition(".")
        if package:
            setattr(sys.modules[package], own, module)


def _is_image_file(name: str) -> bool:
    return name.lower().endswith(_EXTENSIONS)
