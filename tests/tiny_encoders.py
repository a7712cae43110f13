"""Tiny encoders of the real architectures, with random weights, saved in the hub's layout.

They test the loading code without a download: the classes, files and names are the
releases' own, and only the sizes differ.
"""

import json
from pathlib import Path

import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    PreTrainedModel,
    ViTConfig,
    ViTModel,
)

from tiny_tokenizer import TEXT_IDS, make_clip_tokenizer

__all__ = ["SIDE", "save_clip", "save_dino", "save_dinov2"]

SIDE = 32  # the encoders' input, in pixels

_LAYERS = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def save_clip(folder: Path, *, seed: int = 0) -> Path:
    """Save a CLIP with 8 px patches and texts of 77 tokens, with its tokenizer."""
    config = CLIPConfig(
        text_config={**_LAYERS, **TEXT_IDS},
        vision_config={**_LAYERS, "image_size": SIDE, "patch_size": 8},
        projection_dim=24,
    )
    torch.manual_seed(seed)
    _save(CLIPModel(config), folder)
    make_clip_tokenizer(folder)
    _describe(
        folder,
        image_processor_type="CLIPImageProcessor",
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_mean=[0.48145466, 0.4578275, 0.40821073],
        image_std=[0.26862954, 0.26130258, 0.27577711],
    )
    return folder


def save_dino(folder: Path, *, patch: int = 8, seed: int = 0) -> Path:
    """Save a ViT as in DINO's release: no pooling layer, norms of 1e-12, size as a plain number."""
    torch.manual_seed(seed)
    config = ViTConfig(**_LAYERS, image_size=SIDE, patch_size=patch)
    _save(ViTModel(config, add_pooling_layer=False), folder)
    _describe(folder, feature_extractor_type="ViTFeatureExtractor", size=SIDE, **_IMAGENET)
    return folder


def save_dinov2(folder: Path, *, seed: int = 0) -> Path:
    """Save a DINOv2 whose positions are learnt at another size than its default input."""
    config = Dinov2Config(
        hidden_size=32,
        mlp_ratio=2,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=42,
        patch_size=7,
    )
    torch.manual_seed(seed)
    _save(Dinov2Model(config), folder)
    _describe(
        folder,
        image_processor_type="BitImageProcessor",
        size={"shortest_edge": 40},
        crop_size={"height": 35, "width": 35},
        **_IMAGENET,
    )
    return folder


def _save(model: PreTrainedModel, folder: Path) -> None:
    """Save with weights of large variance: fresh ones embed all pictures nearly alike."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data *= 4
    model.save_pretrained(folder)


def _describe(folder: Path, **settings: object) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
