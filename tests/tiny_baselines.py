"""Tiny random-weight pipelines of the real architectures, for the baseline editors' tests."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    FluxKontextPipeline,
    FluxTransformer2DModel,
    QwenImageEditPipeline,
    QwenImageTransformer2DModel,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers import pre_tokenizers
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from editloop.runtime.seeding import generator
from editloop.schema import Captions, EditRequest
from tiny_pipelines import (
    TEXT_WIDTH,
    tiny_flow_vae,
    tiny_scheduler,
    tiny_t5,
    tiny_text_encoder,
    tiny_unet,
    tiny_vae,
)
from tiny_tokenizer import make_clip_tokenizer, tiny_t5_tokenizer

__all__ = [
    "deep_unet",
    "photo_request",
    "save_flux_kontext",
    "save_qwen_image_edit",
    "save_stable_diffusion",
    "save_stable_diffusion_xl",
]

_SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_VISION = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]


def deep_unet(seed: int = 0) -> UNet2DConditionModel:
    """A UNet of Stable Diffusion's plan with attention at a quarter of the latents' sides.

    Methods that read attention maps look there: at 16 x 16 for latents of 64 x 64.
    """
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * 3,
        up_block_types=("CrossAttnUpBlock2D",) * 3,
        norm_num_groups=4,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=2,
    ).eval()


def save_stable_diffusion(folder: Path, unet: UNet2DConditionModel) -> Path:
    """Stable Diffusion 1.5's plan, at 32 pixels."""
    StableDiffusionPipeline(
        vae=tiny_vae(),
        text_encoder=tiny_text_encoder(),
        tokenizer=make_clip_tokenizer(folder / "tokenizer"),
        unet=unet,
        scheduler=tiny_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def save_stable_diffusion_xl(folder: Path) -> Path:
    """SDXL's plan, at 32 pixels."""
    tokenizer = make_clip_tokenizer(folder / "tokenizer")
    StableDiffusionXLPipeline(
        vae=tiny_vae(),
        text_encoder=tiny_text_encoder(),
        text_encoder_2=tiny_text_encoder(projection=True, seed=1),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=tiny_unet(xl=True),
        scheduler=tiny_scheduler(),
        add_watermarker=False,
    ).save_pretrained(folder)
    return folder


def save_flux_kontext(folder: Path) -> Path:
    """FLUX.1 Kontext's plan; a latent for two pixels each way, packed by two."""
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=TEXT_WIDTH,
        pooled_projection_dim=TEXT_WIDTH,
        guidance_embeds=True,
        axes_dims_rope=(4, 4, 8),
    )
    FluxKontextPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=tiny_flow_vae(),
        text_encoder=tiny_text_encoder(),
        tokenizer=make_clip_tokenizer(folder / "tokenizer"),
        text_encoder_2=tiny_t5(),
        tokenizer_2=tiny_t5_tokenizer(),
        transformer=transformer.eval(),
    ).save_pretrained(folder)
    return folder


def save_qwen_image_edit(folder: Path, made: Any = QwenImageEditPipeline) -> Path:
    """Qwen-Image-Edit's plan; `made` is the first release's class or the later ones' ("Plus")."""
    torch.manual_seed(0)
    transformer = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=1,
        joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4),
    )
    vae = AutoencoderKLQwenImage(
        base_dim=2,
        z_dim=4,
        dim_mult=[1] * 6,
        num_res_blocks=1,
        temperal_downsample=[False]
        * 5,  # a latent for 32 pixels: the pipelines work at a megapixel
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    tokenizer = _qwen_tokenizer()
    pipeline = made(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae.eval(),
        text_encoder=_qwen_vl(tokenizer),
        tokenizer=tokenizer,
        processor=None,  # the class itself needs torchvision; its files don't
        transformer=transformer.eval(),
    )
    pipeline.save_pretrained(folder)
    Qwen2VLImageProcessorPil(size={"shortest_edge": 28**2, "longest_edge": 56**2}).save_pretrained(
        folder / "processor"
    )
    index = json.loads((folder / "model_index.json").read_text())
    index["processor"] = ["transformers", "Qwen2VLProcessor"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def _qwen_tokenizer() -> Qwen2Tokenizer:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*letters, *_SPECIALS, *_VISION])}
    return Qwen2Tokenizer(
        vocab=vocabulary, merges=[], extra_special_tokens=[*_SPECIALS[1:], *_VISION]
    )


def _qwen_vl(tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLForConditionalGeneration:
    ids = {
        name: tokenizer.convert_tokens_to_ids(f"<|{name}|>")
        for name in ("vision_start", "vision_end", "image_pad", "video_pad")
    }
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "bos_token_id": tokenizer.convert_tokens_to_ids(_SPECIALS[0]),
            "eos_token_id": tokenizer.convert_tokens_to_ids(_SPECIALS[2]),
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": [1, 1, 2],
            },
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": 16,
        },
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
    )
    return Qwen2_5_VLForConditionalGeneration(config).eval()


def photo_request(index: int = 0, height: int = 32, width: int = 48, **changes: Any) -> EditRequest:
    """A request with everything that an editor may read, and few steps."""
    usual = {
        "id": str(index),
        "image": generator("photo", index).integers(0, 256, (height, width, 3), dtype=np.uint8),
        "instruction": "make the cat a dog",
        "captions": Captions("a photo of a cat", "a photo of a dog"),
        "seed": index,
        "settings": {"steps": 4, "size": {"long_side": max(height, width), "multiple": 8}},
    }
    return EditRequest(**{**usual, **changes})
