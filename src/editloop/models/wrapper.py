"""Additional conditions for an unmodified UNet, by a wrapper instead of a fork.

A condition is a module that turns its own inputs into an `Injection`. The wrapper adds it to a
diffusers `UNet2DConditionModel` by forward hooks, so that a pretrained UNet (Stable Diffusion 1.5
and XL, the pocket model's) keeps its class, its weights and its save format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["ConditionedUNet", "Injection", "UNetShape"]


@dataclass(frozen=True, slots=True)
class Injection:
    """The additions of one condition to a UNet's forward pass; None or () adds nothing.

    channels: [batch, c, h, w], concatenated to the noisy sample;
    time: [batch, d], added to the time embedding;
    features: a function of the first convolution's output [batch, c, h, w], which it replaces;
    blocks: [batch, c_i] for each block, added to its output at every pixel.

    Each is cast to the dtype of the tensor that it is added to.
    """

    channels: Tensor | None = None
    time: Tensor | None = None
    features: Callable[[Tensor], Tensor] | None = None
    blocks: tuple[Tensor, ...] = ()


@dataclass(frozen=True, slots=True)
class UNetShape:
    """The widths of a UNet's tensors that conditions are added to.

    `text` is the width of its text embeddings, `pooled` of its text encoder's pooled output.
    """

    time: int
    features: int
    blocks: tuple[int, ...]
    text: int
    pooled: int

    @classmethod
    def of(cls, unet: Any) -> UNetShape:
        """Return the widths of a `UNet2DConditionModel`; blocks are down, middle, up, in order."""
        widths = tuple(unet.config.block_out_channels)
        text = unet.config.cross_attention_dim
        text = text if isinstance(text, int) else text[0]
        pooled = text
        if unet.config.addition_embed_type == "text_time":  # XL: pooled text and six embedded sizes
            sizes = 6 * unet.config.addition_time_embed_dim
            pooled = unet.config.projection_class_embeddings_input_dim - sizes
        return cls(
            time=unet.time_embedding.linear_2.out_features,
            features=unet.conv_in.out_channels,
            blocks=(*widths, widths[-1], *reversed(widths)),
            text=text,
            pooled=pooled,
        )


class ConditionedUNet(nn.Module):
    """A diffusers UNet and the conditions injected into it, by name.

    `inputs[name]` are the keyword arguments of the condition `name`; a condition without inputs is
    skipped. The UNet can still be used alone, and its `save_pretrained` saves it alone.
    """

    def __init__(self, unet: Any, conditions: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.unet = unet
        self.conditions = nn.ModuleDict(conditions)
        self._current: tuple[Injection, ...] = ()
        unet.time_embedding.register_forward_hook(self._after_time)
        unet.conv_in.register_forward_hook(self._after_first)
        for index, block in enumerate([*unet.down_blocks, unet.mid_block, *unet.up_blocks]):
            block.register_forward_hook(partial(self._after_block, index))

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        text: Tensor,
        inputs: Mapping[str, Mapping[str, Tensor]],
        **unet_inputs: Any,
    ) -> Tensor:
        """Return the UNet's output [batch, out_channels, h, w].

        sample: noisy, [batch, c, h, w]; timestep: [batch]; text: [batch, tokens, d]; `unet_inputs`:
        further inputs of the UNet itself, such as Stable Diffusion XL's added_cond_kwargs.
        """
        self._current = tuple(
            condition(**inputs[name])
            for name, condition in self.conditions.items()
            if name in inputs
        )
        extra = [
            each.channels.to(sample.dtype) for each in self._current if each.channels is not None
        ]
        sample = torch.cat([sample, *extra], dim=1)
        try:
            output: Tensor = self.unet(sample, timestep, text, return_dict=False, **unet_inputs)[0]
        finally:
            self._current = ()
        return output

    def _after_time(self, _module: nn.Module, _inputs: Any, embedding: Tensor) -> Tensor:
        for each in self._current:
            if each.time is not None:
                embedding = embedding + each.time.to(embedding.dtype)
        return embedding

    def _after_first(self, _module: nn.Module, _inputs: Any, features: Tensor) -> Tensor:
        for each in self._current:
            if each.features is not None:
                features = each.features(features).to(features.dtype)
        return features

    def _after_block(self, index: int, _module: nn.Module, _inputs: Any, output: Any) -> Any:
        """Add to the input of the next block; skip connections are not changed."""
        for each in self._current:
            if each.blocks:
                added = each.blocks[index][:, :, None, None]
                if isinstance(output, tuple):
                    output = (output[0] + added.to(output[0].dtype), *output[1:])
                else:
                    output = output + added.to(output.dtype)
        return output
