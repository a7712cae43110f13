"""The pocket model: a small editor for 64 to 128 px that a CPU trains from scratch in minutes.

It is a diffusers `UNet2DConditionModel` on unshuffled pixels (a lossless codec, where large models
have a VAE), with a small CLIP text encoder that is trained with it. Its prediction of the edited
picture (x0) is the source plus a colour change plus a residual, so it starts from "nothing changed"
and need not learn to redraw unchanged regions. Instructions enter by cross-attention and through
the time embedding.

Training steps per second (UNet alone, 64 px, batch 16, two cores with bfloat16 in hardware): 7.1
with the defaults; 4.7 in float32; 4.8 in bfloat16 with fused attention; 5.1 with `patch` 2 and
channels 32, 64, 96; 2.8 with attention at every resolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel

from editloop.models.channels import ChannelCondition
from editloop.models.decoding import checked_values
from editloop.models.inputs import EditInputs
from editloop.models.reward import RewardSettings, reward_condition
from editloop.models.sampling import noise_schedule
from editloop.models.schedules import NoiseLevels, diffusion_levels
from editloop.models.tokens import to_ids
from editloop.models.wrapper import ConditionedUNet, UNetShape
from editloop.schema import Pixels
from editloop.settings import Settings

__all__ = ["PocketModel", "PocketSettings", "Vocabulary", "edited", "mask_tensor"]

_TEXT_WIDTH = 128
_TEXT_LAYERS = 2
_TIME_WIDTH = 128
_HEADS = 4
_GROUPS = 8
_MATRIX = 9  # entries of a 3 x 3 colour matrix


class PocketSettings(Settings):
    """The architecture: picture size in pixels, widths, conditions, and kind of prediction."""

    size: int = Field(default=64, ge=32, le=256, multiple_of=32)
    channels: tuple[int, ...] = (64, 96)
    patch: Literal[1, 2, 4] = 4
    conditions: tuple[Literal["source", "mask", "reward"], ...] = ("source",)
    reward: RewardSettings = RewardSettings()
    prediction: Literal["x0", "epsilon", "v"] = "x0"

    @field_validator("conditions")
    @classmethod
    def _has_a_source(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if "source" not in names or len(set(names)) < len(names):
            raise ValueError("conditions must list source, optionally mask and reward, each once")
        return names

    @field_validator("channels")
    @classmethod
    def _fit_groups_and_heads(cls, widths: tuple[int, ...]) -> tuple[int, ...]:
        if not widths or any(width < _GROUPS or width % _GROUPS for width in widths):
            raise ValueError(f"channels must be positive multiples of {_GROUPS}")
        return widths

    @field_validator("reward")
    @classmethod
    def _rewards_can_be_dropped(cls, reward: RewardSettings) -> RewardSettings:
        if reward.variant == "released":  # a pocket model is also trained without rewards
            raise ValueError("variant released is for Stable Diffusion: use editloop or paper")
        return reward

    @property
    def multiple(self) -> int:
        """The number of pixels that height and width of a picture must be multiples of."""
        return int(self.patch * 2 ** (len(self.channels) - 1))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A tokenizer, and the maximum numbers of ids of an instruction and a reward text."""

    tokenizer: Any
    text: int
    reward: int


class PocketModel(nn.Module):
    """The pocket model; its weights are initialised from `seed`."""

    def __init__(self, settings: PocketSettings, vocabulary: Vocabulary, seed: int = 0) -> None:
        super().__init__()
        self.settings = settings
        self.vocabulary = vocabulary
        with torch.random.fork_rng(devices=()):  # initialised from torch's global random state
            torch.manual_seed(seed)
            self.text_encoder = _text_encoder(vocabulary)
            unet = _unet(settings)
            for parameter in unet.conv_out.parameters():
                nn.init.zeros_(parameter)  # so it starts from "nothing changed"
            self.network = ConditionedUNet(unet, _conditions(settings, UNetShape.of(unet)))
        for module in self.modules():
            if isinstance(module, Attention):
                # Fused attention's backward pass is slow in bfloat16 on a CPU: it took a quarter of
                # a training step, without a benefit for so few tokens.
                module.set_processor(AttnProcessor())

    def forward(self, noisy: Tensor, timestep: Tensor, inputs: EditInputs) -> Tensor:
        """Predict x0, epsilon or v [batch, c, h, w] from noisy latents [batch, c, h, w]."""
        output: Tensor = self.network(
            noisy, timestep, self._encoded(inputs.text), self._condition_inputs(inputs)
        )
        output = output.float()
        return edited(output, inputs.source) if self.settings.prediction == "x0" else output

    @cached_property
    def levels(self) -> NoiseLevels:
        """The noise levels of training, and the kind of prediction."""
        return diffusion_levels(noise_schedule(self.settings.prediction))

    def given(self, inputs: EditInputs, guidance: float | None = None) -> EditInputs:  # noqa: ARG002
        """Return the conditions unchanged: the text encoder is trained, so it runs in `forward`."""
        return inputs

    def _condition_inputs(self, inputs: EditInputs) -> dict[str, Mapping[str, Tensor]]:
        given: dict[str, Mapping[str, Tensor]] = {"source": {"picture": inputs.source}}
        if "mask" in self.settings.conditions:
            given["mask"] = {"picture": functional.pixel_unshuffle(_there(inputs.mask), self.patch)}
        if "reward" in self.settings.conditions:
            reward: dict[str, Tensor] = {}
            if self.settings.reward.score:
                reward |= {"scores": _there(inputs.scores), "keep": _there(inputs.keep)}
            if self.settings.reward.text:
                reward["text"] = self._encoded(_there(inputs.reward_text))
            given["reward"] = reward
        return given

    def _encoded(self, ids: Tensor) -> Tensor:
        hidden: Tensor = self.text_encoder(input_ids=ids).last_hidden_state
        return hidden

    @property
    def patch(self) -> int:
        """The side, in pixels, of the squares that become channels."""
        return self.settings.patch

    def encode(self, pixels: Tensor) -> Tensor:
        """Encode uint8 [batch, height, width, 3] to latents [batch, 3 * patch^2, h, w] in -1..1."""
        values = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
        return functional.pixel_unshuffle(values, self.patch)

    def decode(self, latents: Tensor) -> list[Pixels]:
        """Decode latents to pictures: the exact inverse of `encode` within 0..255.

        Raises RecipeError for NaN and infinite values.
        """
        values = functional.pixel_shuffle(checked_values(latents).float(), self.patch)
        rounded = ((values.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        return list(np.ascontiguousarray(rounded.permute(0, 2, 3, 1).cpu().numpy()))

    def empty_texts(self) -> tuple[Tensor, Tensor]:
        """Return the ids [tokens] of an empty instruction and an empty reward text, on the CPU."""
        words = self.vocabulary
        lengths = (words.text, words.reward)
        text, reward = (torch.from_numpy(to_ids(words.tokenizer, [""], each)) for each in lengths)
        return text[0], reward[0]

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        return next(self.parameters()).device

    @property
    def parameter_count(self) -> int:
        """The number of trained parameters."""
        return sum(parameter.numel() for parameter in self.parameters())


def edited(output: Tensor, source: Tensor) -> Tensor:
    """Return x0 = S + C S + R: source S, a 3 x 3 colour matrix C for each patch, residual R.

    output [batch, c + 9, h, w] holds R and C; source [batch, c, h, w] are latents. Most edits
    change colours more than shapes: with C, night or sepia can be learned from the text alone, and
    details are preserved.
    """
    batch, count, height, width = source.shape
    residual, matrices = output[:, :count], output[:, count:]
    mixed = torch.einsum(
        "bijhw,bjphw->biphw",
        matrices.reshape(batch, 3, 3, height, width),
        source.reshape(batch, 3, count // 3, height, width),
    )
    return source + mixed.reshape(source.shape) + residual


def mask_tensor(masks: np.ndarray[Any, np.dtype[np.uint8]]) -> Tensor:
    """Convert masks uint8 [batch, height, width] to [batch, 1, height, width] of 0 or 1."""
    return torch.from_numpy(masks)[:, None].float().div(255).round()


def _there(value: Tensor | None) -> Tensor:
    if value is None:
        raise ValueError("a condition of this model is missing from the inputs")
    return value


def _text_encoder(vocabulary: Vocabulary) -> Any:
    tokenizer = vocabulary.tokenizer
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=_TEXT_WIDTH,
        intermediate_size=2 * _TEXT_WIDTH,
        num_hidden_layers=_TEXT_LAYERS,
        num_attention_heads=_HEADS,
        max_position_embeddings=max(vocabulary.text, vocabulary.reward),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="eager",
    )
    return CLIPTextModel(config)


def _unet(settings: PocketSettings) -> Any:
    """Build the UNet, with attention at the lowest resolution only.

    At higher resolutions attention costs more time than it gains in quality.
    """
    depth = len(settings.channels)
    latent = 3 * settings.patch**2
    masked = settings.patch**2 if "mask" in settings.conditions else 0
    return UNet2DConditionModel(
        sample_size=settings.size // settings.patch,
        in_channels=2 * latent + masked,
        out_channels=latent + (_MATRIX if settings.prediction == "x0" else 0),
        block_out_channels=settings.channels,
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * (depth - 1) + ("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",) + ("UpBlock2D",) * (depth - 1),
        norm_num_groups=_GROUPS,
        attention_head_dim=_HEADS,  # diffusers reads this as the number of heads
        cross_attention_dim=_TEXT_WIDTH,
        addition_embed_type="text",
        addition_embed_type_num_heads=_HEADS,
        time_embedding_dim=_TIME_WIDTH,
        resnet_time_scale_shift="scale_shift",
    )


def _conditions(settings: PocketSettings, shape: UNetShape) -> dict[str, nn.Module]:
    made: dict[str, nn.Module] = {"source": ChannelCondition()}
    if "mask" in settings.conditions:
        made["mask"] = ChannelCondition()
    if "reward" in settings.conditions:
        made["reward"] = reward_condition(settings.reward, shape)
    return made
