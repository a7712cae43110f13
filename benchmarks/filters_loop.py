"""Measure a data set pair by pair, every metric of every pair at batch 1, and report the values.

python filters_loop.py FACTS DATA CLIP DINOV2 [PEER]

Without PEER, the loop is this file's: what the released filters compute, on the same networks. With
it, the similarity module `clip_similarity.py` in PEER runs; its missing imports are replaced by
stand-ins, and its networks by those of the two folders.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from skimage.metrics import structural_similarity
from torch import Tensor
from torch.nn import functional

from editloop.images.codec import decode
from editloop.schema import EditSample
from editloop.storage.samples import read_samples
from evaluate_counting import tell
from evaluate_standins import Standins, install_modules

_NAMES = ("clip_in", "clip_out", "clip_direction", "clip_image", "dinov2", "ssim7")
_CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def main() -> None:
    """Measure every pair and write FACTS."""
    facts, data, clip, dinov2, *peer = sys.argv[1:]
    samples = list(read_samples(Path(data), "train"))
    began = time.perf_counter()
    with torch.inference_mode():
        similarity = _released(Path(peer[0]), clip, dinov2) if peer else Loop(clip, dinov2)
        loaded = time.perf_counter()
        values = {sample.id: _measured(sample, similarity) for sample in samples}
    steady = time.perf_counter() - loaded
    tell(facts, values=values, load=loaded - began, steady=steady)


def _measured(sample: EditSample, similarity: Callable[..., tuple[Any, ...]]) -> dict[str, float]:
    assert sample.target is not None
    pictures = [_tensor(image.bytes) for image in (sample.source_image, sample.target)]
    captions = [[text or ""] for text in (sample.source_caption, sample.target_caption)]
    found = similarity(*pictures, *captions)
    return {name: float(value) for name, value in zip(_NAMES, found, strict=True)}


def _tensor(data: bytes) -> Tensor:
    """Return a picture as [1, 3, height, width] in [0, 1]."""
    return torch.from_numpy(decode(data)).permute(2, 0, 1)[None].float() / 255


class Loop:
    """The similarities of one pair, nothing shared with other pairs."""

    def __init__(self, clip: str, dinov2: str) -> None:
        self._clip = transformers.CLIPModel.from_pretrained(clip).float().eval()
        self._read = transformers.CLIPTokenizer.from_pretrained(clip)
        self._dinov2 = transformers.AutoModel.from_pretrained(dinov2).float().eval()
        self._side = self._dinov2.config.image_size
        self._mean, self._std = (torch.tensor(each)[None, :, None, None] for each in _CLIP)

    def __call__(
        self, source: Tensor, target: Tensor, before: list[str], after: list[str]
    ) -> tuple[Any, ...]:
        """Return the values in the order of `_NAMES`."""
        images = [self._image(each) for each in (source, target)]
        texts = [self._text(each) for each in (before, after)]
        patches = [self._whole(each) for each in (source, target)]
        cosine = functional.cosine_similarity
        return (
            cosine(images[0], texts[0]),
            cosine(images[1], texts[1]),
            cosine(images[1] - images[0], texts[1] - texts[0]),
            cosine(*images),
            cosine(*patches),
            _ssim(source, target),
        )

    def _image(self, picture: Tensor) -> Tensor:
        side = self._clip.config.vision_config.image_size
        sized = functional.interpolate(picture, (side, side), mode="bicubic", align_corners=False)
        found: Tensor = self._clip.get_image_features((sized - self._mean) / self._std)
        return functional.normalize(getattr(found, "pooler_output", found))

    def _text(self, text: list[str]) -> Tensor:
        given = self._read(text, padding="max_length", truncation=True, return_tensors="pt")
        found: Tensor = self._clip.get_text_features(given["input_ids"])
        return functional.normalize(getattr(found, "pooler_output", found))

    def _whole(self, picture: Tensor) -> Tensor:
        sized = functional.interpolate(picture, (self._side, self._side))
        states: Tensor = self._dinov2(sized).last_hidden_state
        return states[:, 0]


def _ssim(source: Tensor, target: Tensor) -> float:
    first, second = (each[0].permute(1, 2, 0).numpy() for each in (source, target))
    channels = [
        structural_similarity(first[..., at], second[..., at], data_range=1.0) for at in range(3)
    ]
    return float(np.mean(channels))


class _Dinov2(torch.nn.Module):
    """DINOv2 as `torch.hub` gives it: from pictures to class tokens, with weights already."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._network = transformers.AutoModel.from_pretrained(folder).float()

    def cuda(self, device: Any = None) -> Any:
        return super().cuda(device) if torch.cuda.is_available() else self

    def load_state_dict(self, *_: Any, **__: Any) -> None:  # type: ignore[override]
        """Keep the weights of the folder."""

    def forward(self, pictures: Tensor) -> Tensor:
        found: Tensor = self._network(pictures).last_hidden_state[:, 0]
        return found


def _released(peer: Path, clip: str, dinov2: str) -> Callable[..., tuple[Any, ...]]:
    """Return the module of UltraEdit's release over the two networks."""
    standins = Standins(clip, "")
    standins.install(peer)
    vars(torch.hub)["load"] = lambda *_, **__: _Dinov2(dinov2)
    vars(torch)["load"] = lambda *_, **__: {}
    if find_spec("einops") is None:
        install_modules({"einops": {"rearrange": lambda each, _: each[None, :, None, None]}})
    sys.path.insert(0, str(peer))
    similarity: Callable[..., tuple[Any, ...]] = import_module("clip_similarity").ClipSimilarity()
    return similarity


if __name__ == "__main__":
    main()
