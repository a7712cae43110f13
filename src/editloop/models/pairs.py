"""Pairs of pictures from pairs of captions, by Stable Diffusion under attention control.

They start from noise, or from a photo to which noise is added (SDEdit; UltraEdit's free-form data).

A pair shares its initial noise and the noise that the sampler adds at each step (Euler ancestral),
drawn from the pair's own seed on the CPU, so a pair depends on nothing else of its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from editloop.models.attention import (
    Control,
    PairControl,
    controlled,
    hertz_control,
    instruct_pix2pix_control,
    sample_pairs,
)
from editloop.models.backbones.autoencoder import Autoencoder, Posterior
from editloop.models.backbones.denoisers import added_inputs
from editloop.models.backbones.stable_diffusion import texts_of
from editloop.models.backbones.texts import ClipTexts, TextStates
from editloop.models.prompts import prompt_edit, spelled
from editloop.schema import Pixels

__all__ = ["HERTZ_MOST", "MadePair", "Mode", "Pair", "PairModel", "Sampling", "control_at"]

Mode: TypeAlias = Literal["instruct-pix2pix", "hertz"]

_TEXTS = 64  # encoded texts that are kept
_DECODED = 8  # pictures decoded at once: decoding takes more memory than a step of the sampler
HERTZ_MOST = 16 * 16  # pixels of the finest self-attention that Hertz et al. control


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A pair to make.

    source and target are captions, `seed` is that of its noise, `share` that of the controlled
    steps in 0..1, `guidance` a scale (1: none), and `photo` [side, side, 3] what both pictures
    start from: with all pairs of a batch or none.
    """

    source: str
    target: str
    seed: int
    share: float
    guidance: float
    photo: Pixels | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """The settings that all pairs of a batch share.

    `side` is that of the squares in pixels, `strength` in 0..1 the share of the noise schedule that
    is added to photos. If a photo is kept, it is the source, and only the target is decoded.
    """

    mode: Mode
    steps: int
    side: int
    strength: float = 1.0
    keeps_photo: bool = False

    @property
    def effective_steps(self) -> int:
        """The number of steps that are sampled, rounded down as in diffusers' pipelines."""
        return int(self.steps * self.strength)


@dataclass(frozen=True, slots=True, eq=False)
class MadePair:
    """The pictures of a pair, and the steps on which the target took the source's attention."""

    source: Pixels
    target: Pixels
    controlled: Control


def control_at(mode: Mode, share: float, steps: int) -> Control:
    """Return the controlled steps of a share, in Hertz's mode the same for both attentions."""
    if mode == "instruct-pix2pix":
        return instruct_pix2pix_control(steps, share)
    return hertz_control(steps, share, share)


class PairModel:
    """A text-to-image Stable Diffusion (1.x, 2.x or XL) that makes pairs.

    pipeline: a loaded one; scheduler: an Euler ancestral one of its noise levels.
    """

    def __init__(self, pipeline: Any, scheduler: Any) -> None:
        self.unet = pipeline.unet.eval().requires_grad_(False)
        self.texts = texts_of(pipeline, self.unet.dtype)
        self.autoencoder = Autoencoder.of(pipeline.vae, self.unet.dtype)
        self.scheduler = scheduler
        self._encoded = lru_cache(maxsize=_TEXTS)(self._encode)

    @property
    def native(self) -> int:
        """The side in pixels of the squares that the network was trained for."""
        return int(self.unet.config.sample_size) * self.autoencoder.factor

    def make(
        self,
        pairs: Sequence[Pair],
        sampling: Sampling,
        each_step: Callable[[], None] = lambda: None,
    ) -> list[MadePair]:
        """Return the pictures of a batch of pairs.

        `each_step` is called before each network call.
        """
        latents, acted = self.sample(pairs, sampling, each_step)
        if sampling.keeps_photo:
            sources = [pair.photo for pair in pairs if pair.photo is not None]
            targets = self._pictures(latents[1::2])
        else:
            made = self._pictures(latents)
            sources, targets = made[0::2], made[1::2]
        return [MadePair(*each) for each in zip(sources, targets, acted, strict=True)]

    @torch.no_grad()
    def sample(
        self,
        pairs: Sequence[Pair],
        sampling: Sampling,
        each_step: Callable[[], None] = lambda: None,
    ) -> tuple[Tensor, list[Control]]:
        """Return latents [2 pairs, c, h, w], and the steps on which control acted on each pair."""
        seeds = [pair.seed for pair in pairs for _ in ("source", "target")]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.scheduler.set_timesteps(sampling.steps, device=self.unet.device)
        first = sampling.steps - sampling.effective_steps
        latents = self._start(pairs, generators, sampling.side, first)
        predictor = _Predictor(self, pairs, latents)

        def predict(_step: int, noisy: Tensor, timestep: Tensor) -> Tensor:
            each_step()
            return predictor(noisy, timestep)

        control = self._control(pairs, sampling)
        with controlled(self.unet, control):
            latents = sample_pairs(
                predict,
                self.scheduler,
                latents,
                control=control,
                generators=generators,
                timesteps=self.scheduler.timesteps[first:],
            )
        return latents, control.acted

    def states(self, texts: Sequence[str]) -> TextStates:
        """Encode texts; each is encoded alone, and once for all candidates of a sample."""
        found = [self._encoded(text) for text in texts]
        return TextStates(*(torch.cat(each) for each in zip(*found, strict=True)))

    def _encode(self, text: str) -> tuple[Tensor, Tensor]:
        states = self.texts.states(self.texts.ids([text]))
        return states.hidden, states.pooled

    def _pictures(self, latents: Tensor) -> list[Pixels]:
        parts = torch.split(latents, _DECODED)
        return [picture for part in parts for picture in self.autoencoder.pictures(part)]

    def _start(
        self, pairs: Sequence[Pair], generators: Sequence[torch.Generator], side: int, first: int
    ) -> Tensor:
        """Return the latents before step `first` of the schedule: noise, or noisy photos."""
        photos = [pair.photo for pair in pairs if pair.photo is not None]
        if not photos:
            return self._noise(generators, side) * float(self.scheduler.init_noise_sigma)
        found = self.autoencoder.posterior(torch.from_numpy(np.stack(photos)))
        twice = Posterior(*(each.repeat_interleave(2, 0) for each in (found.mean, found.std)))
        clean = self.autoencoder.learned(twice.at(self._noise(generators, side)))
        self.scheduler.set_begin_index(first)
        timesteps = self.scheduler.timesteps[first].expand(len(clean))
        noisy: Tensor = self.scheduler.add_noise(clean, self._noise(generators, side), timesteps)
        return noisy

    def _noise(self, generators: Sequence[torch.Generator], side: int) -> Tensor:
        latent = side // self.autoencoder.factor
        shape = len(generators), self.autoencoder.channels, latent, latent
        dtype = torch.promote_types(torch.float32, self.unet.dtype)
        noise: Tensor = randn_tensor(shape, list(generators), self.unet.device, dtype)
        return noise

    def _control(self, pairs: Sequence[Pair], sampling: Sampling) -> PairControl:
        steps = sampling.effective_steps
        controls = [control_at(sampling.mode, pair.share, steps) for pair in pairs]
        if sampling.mode == "instruct-pix2pix":
            return PairControl(controls, unconditional=True)
        texts = self.texts
        tokenizer = texts.tokenizer if isinstance(texts, ClipTexts) else texts.tokenizers[0]
        edits = [
            prompt_edit(spelled(tokenizer, pair.source), spelled(tokenizer, pair.target))
            for pair in pairs
        ]
        return PairControl(controls, edits, most=HERTZ_MOST)


class _Predictor:
    """The guided output of a model for a batch of pairs.

    Without guidance the network sees two rows for a pair, else four: the unconditional ones first.
    """

    def __init__(self, model: PairModel, pairs: Sequence[Pair], latents: Tensor) -> None:
        self._unet = model.unet
        texts = [text for pair in pairs for text in (pair.source, pair.target)]
        scales = torch.tensor([pair.guidance for pair in pairs], dtype=torch.float64)
        self._scales = scales.repeat_interleave(2).to(latents)[:, None, None, None]
        self._guided = any(pair.guidance != 1 for pair in pairs)
        states = model.states([""] * len(texts) + texts if self._guided else texts)
        self._hidden = states.hidden
        rows = self._rows(latents).to(model.unet.dtype)
        self._added = added_inputs(model.unet, states.pooled, rows, model.autoencoder.factor)

    def __call__(self, latents: Tensor, timestep: Tensor) -> Tensor:
        rows = self._rows(latents).to(self._unet.dtype)
        output: Tensor = self._unet(
            rows, timestep, encoder_hidden_states=self._hidden, **self._added
        ).sample.to(latents)
        if not self._guided:
            return output
        unconditional, conditional = output.chunk(2)
        return unconditional + self._scales * (conditional - unconditional)

    def _rows(self, latents: Tensor) -> Tensor:
        return torch.cat([latents, latents]) if self._guided else latents
