"""Preprocessing of released evaluators, reimplemented for tests: torchvision's transforms.

It uses no code of the package, so that both cannot share an error.
"""

import numpy as np
import torch
from PIL import Image

__all__ = ["CLIP_MEAN", "CLIP_STD", "IMAGENET_MEAN", "IMAGENET_STD", "cosine", "released_input"]

CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def released_input(
    pixels: np.ndarray, resize: int, crop: int, mean: list[float], std: list[float]
) -> torch.Tensor:
    """Resize(resize, bicubic), CenterCrop(crop), ToTensor, Normalize: [1, 3, crop, crop]."""
    image = Image.fromarray(pixels)
    width, height = image.size
    if width <= height:
        image = image.resize((resize, int(resize * height / width)), Image.BICUBIC)
    else:
        image = image.resize((int(resize * width / height), resize), Image.BICUBIC)
    width, height = image.size
    left, top = round((width - crop) / 2.0), round((height - crop) / 2.0)
    image = image.crop((left, top, left + crop, top + crop))
    values = torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(255)
    return values.sub(torch.tensor(mean)[:, None, None]).div(torch.tensor(std)[:, None, None])[None]


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    first, second = first.astype(float).ravel(), second.astype(float).ravel()
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))
