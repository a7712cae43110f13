"""Tiny pipelines of the real classes, with random weights, saved as diffusers saves them."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionXLInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
)

from tiny_tokenizer import TEXT_IDS, make_clip_tokenizer, tiny_t5_tokenizer

__all__ = [
    "CHANNELS",
    "FACTOR",
    "TEXT_WIDTH",
    "save_instruct_pix2pix",
    "save_instruct_pix2pix_xl",
    "save_sd3",
    "tiny_flow_vae",
    "tiny_scheduler",
    "tiny_t5",
    "tiny_text_encoder",
    "tiny_unet",
    "tiny_vae",
]

CHANNELS = 4  # of the latents
FACTOR = 2  # pixels of a side for one of the latents'
TEXT_WIDTH = 16


def tiny_text_encoder(projection: bool = False, seed: int = 0) -> Any:
    """CLIP's text encoder; with a projection, as SDXL's second one."""
    torch.manual_seed(seed)
    config = CLIPTextConfig(
        hidden_size=TEXT_WIDTH,
        intermediate_size=24,
        num_attention_heads=2,
        num_hidden_layers=2,
        projection_dim=TEXT_WIDTH,
        **TEXT_IDS,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def tiny_vae(seed: int = 0) -> AutoencoderKL:
    """Stable Diffusion's autoencoder; a latent for `FACTOR` pixels each way."""
    torch.manual_seed(seed)
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16),
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=4,
        sample_size=32,
    ).eval()


def tiny_t5(width: int = TEXT_WIDTH) -> T5EncoderModel:
    """T5's encoder."""
    letters = len(tiny_t5_tokenizer())
    config = T5Config(vocab_size=letters, d_model=width, d_kv=8, d_ff=24, num_layers=1, num_heads=2)
    torch.manual_seed(0)
    return T5EncoderModel(config).eval()


def tiny_flow_vae() -> AutoencoderKL:
    """Stable Diffusion 3's and FLUX's autoencoder: shifted latents, and no layers to quantise."""
    torch.manual_seed(1)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        sample_size=32,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.0609,
        scaling_factor=1.5035,
    ).eval()


def tiny_unet(
    in_channels: int = CHANNELS,
    *,
    xl: bool = False,
    widths: tuple[int, int] = (8, 16),
    seed: int = 0,
) -> Any:
    """Stable Diffusion's UNet: 4 channels from text alone, 8 for editing, 12 with a mask."""
    torch.manual_seed(seed)
    added = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": TEXT_WIDTH + 6 * 4,
        "use_linear_projection": True,
    }
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=in_channels,
        out_channels=CHANNELS,
        block_out_channels=widths,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        norm_num_groups=4,
        cross_attention_dim=2 * TEXT_WIDTH if xl else TEXT_WIDTH,
        attention_head_dim=4,
        **(added if xl else {}),
    ).eval()


def tiny_scheduler() -> PNDMScheduler:
    """The noise schedule of Stable Diffusion 1.5, as its folder has it."""
    return PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        set_alpha_to_one=False,
        skip_prk_steps=True,
        steps_offset=1,
    )


def save_instruct_pix2pix(
    folder: Path, *, in_channels: int = 8, widths: tuple[int, int] = (8, 16), seed: int = 0
) -> Path:
    """An InstructPix2Pix of SD 1.5's plan, at 32 pixels; 12 channels take a mask."""
    StableDiffusionInstructPix2PixPipeline(
        vae=tiny_vae(seed),
        text_encoder=tiny_text_encoder(seed=seed),
        tokenizer=make_clip_tokenizer(folder / "tokenizer"),
        unet=tiny_unet(in_channels, widths=widths, seed=seed),
        scheduler=tiny_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def save_instruct_pix2pix_xl(folder: Path, *, in_channels: int = 8, seed: int = 0) -> Path:
    """An InstructPix2Pix of SDXL's plan, at 32 pixels."""
    tokenizer = make_clip_tokenizer(folder / "tokenizer")
    StableDiffusionXLInstructPix2PixPipeline(
        vae=tiny_vae(seed),
        text_encoder=tiny_text_encoder(seed=seed),
        text_encoder_2=tiny_text_encoder(projection=True, seed=seed + 1),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=tiny_unet(in_channels, xl=True, seed=seed),
        scheduler=tiny_scheduler(),
        add_watermarker=False,
    ).save_pretrained(folder)
    return folder


def save_sd3(folder: Path, *, in_channels: int = CHANNELS, t5: bool = True, seed: int = 0) -> Path:
    """Stable Diffusion 3's plan, at up to 32 pixels; a token for two latents each way."""
    torch.manual_seed(seed)
    transformer = SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=in_channels,
        out_channels=CHANNELS,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=2 * TEXT_WIDTH + 8,
        caption_projection_dim=16,
        pooled_projection_dim=2 * TEXT_WIDTH,
        pos_embed_max_size=16,
    )
    tokenizer = make_clip_tokenizer(folder / "tokenizer")
    StableDiffusion3Pipeline(
        transformer=transformer.eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=tiny_flow_vae(),
        text_encoder=tiny_text_encoder(projection=True),
        tokenizer=tokenizer,
        text_encoder_2=tiny_text_encoder(projection=True, seed=1),
        tokenizer_2=tokenizer,
        text_encoder_3=tiny_t5(width=2 * TEXT_WIDTH + 8) if t5 else None,
        tokenizer_3=tiny_t5_tokenizer() if t5 else None,
    ).save_pretrained(folder)
    return folder
