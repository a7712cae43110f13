"""A tiny pipeline's weights under the names of Stable Diffusion's original files."""

import re
from typing import Any

import torch

__all__ = ["original_state"]

# (pattern, replacement) in order, for networks of two blocks with one layer each.
_UNET = [
    (r"^conv_in\.", "input_blocks.0.0."),
    (r"^time_embedding\.linear_1\.", "time_embed.0."),
    (r"^time_embedding\.linear_2\.", "time_embed.2."),
    (r"^conv_norm_out\.", "out.0."),
    (r"^conv_out\.", "out.2."),
    (r"^down_blocks\.0\.resnets\.0\.", "input_blocks.1.0."),
    (r"^down_blocks\.0\.attentions\.0\.", "input_blocks.1.1."),
    (r"^down_blocks\.0\.downsamplers\.0\.conv\.", "input_blocks.2.0.op."),
    (r"^down_blocks\.1\.resnets\.0\.", "input_blocks.3.0."),
    (r"^mid_block\.resnets\.0\.", "middle_block.0."),
    (r"^mid_block\.attentions\.0\.", "middle_block.1."),
    (r"^mid_block\.resnets\.1\.", "middle_block.2."),
    (r"^up_blocks\.0\.resnets\.([01])\.", r"output_blocks.\1.0."),
    (r"^up_blocks\.0\.upsamplers\.0\.conv\.", "output_blocks.1.1.conv."),
    (r"^up_blocks\.1\.resnets\.0\.", "output_blocks.2.0."),
    (r"^up_blocks\.1\.resnets\.1\.", "output_blocks.3.0."),
    (r"^up_blocks\.1\.attentions\.0\.", "output_blocks.2.1."),
    (r"^up_blocks\.1\.attentions\.1\.", "output_blocks.3.1."),
]
_UNET_RESNET = [
    (r"\.norm1\.", ".in_layers.0."),
    (r"\.conv1\.", ".in_layers.2."),
    (r"\.time_emb_proj\.", ".emb_layers.1."),
    (r"\.norm2\.", ".out_layers.0."),
    (r"\.conv2\.", ".out_layers.3."),
    (r"\.conv_shortcut\.", ".skip_connection."),
]
_VAE = [
    (r"^encoder\.down_blocks\.([01])\.resnets\.(\d)\.", r"encoder.down.\1.block.\2."),
    (r"^encoder\.down_blocks\.0\.downsamplers\.0\.", "encoder.down.0.downsample."),
    (r"^decoder\.up_blocks\.0\.resnets\.(\d)\.", r"decoder.up.1.block.\1."),
    (r"^decoder\.up_blocks\.1\.resnets\.(\d)\.", r"decoder.up.0.block.\1."),
    (r"^decoder\.up_blocks\.0\.upsamplers\.0\.", "decoder.up.1.upsample."),
    (r"\.mid_block\.resnets\.0\.", ".mid.block_1."),
    (r"\.mid_block\.resnets\.1\.", ".mid.block_2."),
    (r"\.mid_block\.attentions\.0\.group_norm\.", ".mid.attn_1.norm."),
    (r"\.mid_block\.attentions\.0\.to_([qkv])\.", r".mid.attn_1.\1."),
    (r"\.mid_block\.attentions\.0\.to_out\.0\.", ".mid.attn_1.proj_out."),
    (r"\.conv_norm_out\.", ".norm_out."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
]


def original_state(pipeline: Any) -> dict[str, torch.Tensor]:
    """The tensors of a pipeline of SD 1.5's plan, as its first files hold them."""
    state = {}
    for name, tensor in pipeline.unet.state_dict().items():
        rules = _UNET_RESNET if ".resnets." in name else []
        state[f"model.diffusion_model.{_renamed(name, [*rules, *_UNET])}"] = tensor
    for name, tensor in pipeline.vae.state_dict().items():
        attention = ".attentions." in name and tensor.ndim == 2
        stored = tensor[..., None, None] if attention else tensor  # were convolutions
        state[f"first_stage_model.{_renamed(name, _VAE)}"] = stored
    for name, tensor in pipeline.text_encoder.state_dict().items():
        whole = name if name.startswith("text_model.") else f"text_model.{name}"
        state[f"cond_stage_model.transformer.{whole}"] = tensor
    return {name: tensor.contiguous() for name, tensor in state.items()}


def _renamed(name: str, rules: list[tuple[str, str]]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
