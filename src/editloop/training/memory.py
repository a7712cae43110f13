"""What a training takes of memory, estimated before its first step, and what would take less."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from editloop.errors import TrainingError
from editloop.models.backbones.model import DiffusionModel
from editloop.models.inputs import EditInputs
from editloop.ranks import spreads_weights
from editloop.schema import PERSPECTIVES
from editloop.training.buckets import Size
from editloop.training.diffusion_settings import DiffusionTrainingSettings

__all__ = ["Needs", "check_memory", "needs_of"]

_GIB = 2**30
_FLOAT = 4  # bytes
_MOMENTS = {"adamw": 2 * _FLOAT, "adamw-8bit": 2}  # bytes for each trained number
_REST = 0.05  # for the allocator, the batches and the library's own


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes in each process: of the gradients, moments and average of what is trained there; and of
    each sample, what the backward pass keeps.
    """

    state: int
    sample: int

    def total(self, micro: int) -> int:
        """Bytes beyond the networks themselves, with `micro` samples in memory at a time."""
        return int((self.state + self.sample * micro) * (1 + _REST))


def check_memory(model: DiffusionModel, settings: DiffusionTrainingSettings) -> None:
    """Raise TrainingError, with a setting that fits, where the device has too little memory."""
    needs = needs_of(model, settings)
    micro = min(settings.micro_batch or settings.batch, settings.batch)
    free = _free(model.device)
    if needs.total(micro) <= free:
        return
    raise TrainingError(
        f"training would take about {needs.total(micro) / _GIB:.1f} GiB beside the networks, and "
        f"{free / _GIB:.1f} GiB are free",
        value=f"batch {settings.batch}, micro_batch {micro} at {settings.size} px",
        fix=_fitting(needs, micro, free, settings),
    )


def needs_of(model: DiffusionModel, settings: DiffusionTrainingSettings) -> Needs:
    """What training takes; the forward pass is made without values (on torch's meta device)."""
    moments = _MOMENTS[settings.optimiser.kind]
    average = 0 if settings.average is None else _FLOAT
    kept = _kept(model, max(settings.framing.sizes, key=math.prod))
    if settings.precision != "fp32" and model.autoencoder.vae.dtype == torch.bfloat16:
        kept //= 2
    state = model.parameter_count * (_FLOAT + moments + average)
    holders = torch.distributed.get_world_size() if spreads_weights() else 1
    return Needs(state // holders, kept)


def _fitting(needs: Needs, micro: int, free: int, settings: DiffusionTrainingSettings) -> str:
    """The first change that would fit."""
    smaller = micro
    while smaller > 1:
        smaller //= 2
        if needs.total(smaller) <= free:
            return f"set micro_batch: {smaller} (the batch stays {settings.batch})"
    hints = []
    if not settings.gradient_checkpointing:
        hints.append("gradient_checkpointing: true")
    if settings.optimiser.kind == "adamw":
        hints.append("optimiser: {kind: adamw-8bit}")
    if settings.average is not None:
        hints.append("average: null")
    if settings.lora is None:
        hints.append("lora: {rank: 16}")
    return f"set micro_batch: 1 and one or more of {'; '.join(hints) or 'a smaller size'}"


def _kept(model: DiffusionModel, size: Size) -> int:
    """Bytes that the backward pass of one sample of a size keeps, in float32."""
    given = _meta(model.given(_blank_inputs(model, size).to(model.device)))
    noisy = torch.empty(1, *model.noise_shape(*size), device="meta")
    state = {name: each.to("meta") for name, each in _tensors(model.denoiser)}
    for name, each in model.denoiser.named_parameters():
        state[name].requires_grad_(each.requires_grad)
    storages = {_storage(each) for each in state.values()}
    alive: list[Tensor] = []  # so that no storage's number is used again

    def count(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in storages:
            storages.add(_storage(tensor))
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        timestep = torch.zeros(1, device="meta")
        torch.func.functional_call(model.denoiser, state, (noisy, timestep, given))
    return sum(each.untyped_storage().nbytes() for each in alive)


def _blank_inputs(model: DiffusionModel, size: Size) -> EditInputs:
    """Conditions of the kinds that the model takes, which say nothing."""
    latents = torch.zeros(1, *model.noise_shape(*size))
    text = model.blank_text()[None]
    inputs = EditInputs(source=latents, text=text)
    if "mask" in model.conditions:
        inputs = inputs.with_({"mask": latents})
    if "reward" in model.conditions:
        scores = torch.ones(1, len(PERSPECTIVES))
        inputs = inputs.with_({"scores": scores, "keep": scores, "reward_text": text})
    return inputs


def _storage(tensor: Tensor) -> int:
    """What tensors that share their memory have in common; meta tensors have no address."""
    return int(tensor.untyped_storage()._cdata)


def _tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from ((name, each.detach().float()) for name, each in network.named_parameters())
    yield from network.named_buffers()


def _meta(value: Any) -> Any:
    """A nest of dataclasses with its tensors' shapes alone, as float32."""
    if isinstance(value, Tensor):
        return value.to("meta", torch.float32 if value.is_floating_point() else value.dtype)
    if is_dataclass(value) and not isinstance(value, type):
        inner: Mapping[str, Any] = {
            item.name: _meta(getattr(value, item.name)) for item in fields(value)
        }
        return replace(value, **inner)
    return value


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
