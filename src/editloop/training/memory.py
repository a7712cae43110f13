"""What a training takes of memory, estimated before its first step, and what would take less."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from editloop.errors import TrainingError
from editloop.models.backbones.base_loading import load_base
from editloop.models.backbones.model import DiffusionModel
from editloop.models.inputs import EditInputs
from editloop.runtime.machine import device
from editloop.runtime.ranks import spreads_weights
from editloop.schema import PERSPECTIVES
from editloop.training.buckets import Size
from editloop.training.diffusion_settings import DiffusionTrainingSettings, LoraSettings
from editloop.training.precision import resolved_precision

__all__ = ["Needs", "check_memory", "needs_of"]

_GIB = 2**30
_FLOAT = 4  # bytes
_MOMENTS = {"adamw": 2 * _FLOAT, "adamw-8bit": 2}  # bytes for each trained number
_REST = 0.05  # for the allocator, the batches and the library's own


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes in each process: of the networks; of the gradients, moments and average of what is
    trained there; and of each sample, what the backward pass keeps.
    """

    networks: int
    state: int
    sample: int

    def total(self, micro: int) -> int:
        """All bytes, with `micro` samples in memory at a time."""
        return self.networks + int((self.state + self.sample * micro) * (1 + _REST))


def check_memory(settings: DiffusionTrainingSettings) -> None:
    """Raise TrainingError, with settings that fit, where the device has too little memory.

    No weights are read: the base is laid out as its configurations say.
    """
    free, needs, micro = _free(), needs_of(settings), _micro(settings)
    if needs.total(micro) <= free:
        return
    raise TrainingError(
        f"training would take about {needs.total(micro) / _GIB:.1f} GiB, "
        f"{needs.networks / _GIB:.1f} of them for the networks, and {free / _GIB:.1f} GiB are free",
        value=f"batch {settings.batch}, micro_batch {micro} at {settings.size} px",
        fix=_fitting(settings, free),
    )


def needs_of(settings: DiffusionTrainingSettings) -> Needs:
    """What training takes; a forward pass is made without values (on torch's meta device)."""
    precision = resolved_precision(settings.precision)
    model = load_base(settings.base, replace(settings.wanted(precision, 0), outlined=True))
    if settings.gradient_checkpointing:
        model.network.enable_gradient_checkpointing()
    kept = _kept(model, max(settings.framing.sizes, key=math.prod))
    if precision == "bf16":
        kept //= 2
    average = 0 if settings.average is None else _FLOAT
    state = model.parameter_count * (_FLOAT + _MOMENTS[settings.optimiser.kind] + average)
    holders = _processes() if spreads_weights() else 1
    networks = sum(_bytes(each) for each in _networks(model))
    return Needs(networks, state // holders, kept)


def _processes() -> int:
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_initialized() else 1


def _micro(settings: DiffusionTrainingSettings) -> int:
    """How many samples are in a process's memory at a time."""
    share = max(1, settings.batch // _processes())
    return min(settings.micro_batch or share, share)


def _fitting(settings: DiffusionTrainingSettings, free: int) -> str:
    """The first changes that would fit: each is tried beside those before it."""
    changed, told = settings, []
    for text, change in _changes(settings):
        changed = changed.model_copy(update=change)
        told += [text] if text else []
        needs, micro = needs_of(changed), _micro(settings)
        while needs.total(micro) > free and micro > 1:
            micro //= 2
        if needs.total(micro) <= free:
            less = [f"micro_batch: {micro}"] if micro < _micro(settings) else []
            stays = f" (the batch stays {settings.batch})" if less else ""
            return f"set {', '.join([*less, *told])}{stays}"
    return "name a smaller base or size, or free memory"


def _changes(settings: DiffusionTrainingSettings) -> Iterator[tuple[str, dict[str, object]]]:
    """What takes less, from what changes no result to what changes most; first nothing at all."""
    yield "", {}
    if not settings.gradient_checkpointing:
        yield "gradient_checkpointing: true", {"gradient_checkpointing": True}
    if settings.optimiser.kind == "adamw" and not spreads_weights():
        smaller = settings.optimiser.model_copy(update={"kind": "adamw-8bit"})
        yield "optimiser: {kind: adamw-8bit}", {"optimiser": smaller}
    if settings.average is not None:
        yield "average: null", {"average": None}
    if settings.lora is None:
        yield "lora: {rank: 16}", {"lora": LoraSettings()}


def _kept(model: DiffusionModel, size: Size) -> int:
    """Bytes that the backward pass of one sample of a size keeps, in float32."""
    given = _meta(model.given(_blank_inputs(model, size)))
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

    hooks = torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor)
    with hooks, _FusedAttention():
        timestep = torch.zeros(1, device="meta")
        torch.func.functional_call(model.denoiser, state, (noisy, timestep, given))
    return sum(each.untyped_storage().nbytes() for each in alive)


class _FusedAttention(TorchFunctionMode):
    """Attention keeps its inputs and its output, as where devices compute it; the meta device has
    it keep a matrix of all pairs of tokens too.
    """

    def __torch_function__(
        self, function: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function is not functional.scaled_dot_product_attention:
            return function(*args, **(kwargs or {}))
        inputs = {**dict(zip(("query", "key", "value"), args, strict=False)), **(kwargs or {})}
        tensors = (inputs[name] for name in ("query", "key", "value"))
        return _Attention.apply(*tensors)  # type: ignore[no-untyped-call]


class _Attention(torch.autograd.Function):
    """What attention keeps, and the shape of its output; no values."""

    @staticmethod
    def forward(context: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        output = query.new_empty(*query.shape[:-1], value.shape[-1])
        context.save_for_backward(query, key, value, output)
        return output


def _blank_inputs(model: DiffusionModel, size: Size) -> EditInputs:
    """Conditions of the kinds that the model takes, which say nothing; only texts have values."""
    latents = torch.empty(1, *model.noise_shape(*size), device="meta")
    text = model.blank_text()[None]
    inputs = EditInputs(source=latents, text=text)
    if "mask" in model.conditions:
        inputs = inputs.with_({"mask": latents})
    if "reward" in model.conditions:
        scores = torch.empty(1, len(PERSPECTIVES), device="meta")
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


def _networks(value: object) -> Iterator[nn.Module]:
    """The networks in a nest of dataclasses and tuples."""
    if isinstance(value, nn.Module):
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from _networks(each)
    elif is_dataclass(value):
        for item in fields(value):
            yield from _networks(getattr(value, item.name))


def _bytes(network: nn.Module) -> int:
    return sum(each.nbytes for each in (*network.parameters(), *network.buffers()))


def _free() -> int:
    if device() == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    return int(psutil.virtual_memory().available)
