"""Memory of a training: arithmetic for weights and moments, a trial for activations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace

import psutil
import torch
from torch import nn

from editloop.errors import TrainingError
from editloop.models.backbones.base_loading import load_base
from editloop.models.backbones.model import DiffusionModel
from editloop.models.inputs import EditInputs
from editloop.runtime.machine import device
from editloop.runtime.ranks import spreads_weights
from editloop.schema import PERSPECTIVES
from editloop.training.buckets import Size
from editloop.training.diffusion_settings import DiffusionTrainingSettings, LoraSettings
from editloop.training.edits import EditBatch, edit_loss
from editloop.training.precision import resolved_precision

__all__ = ["advised", "check_memory", "needs_of", "outlined", "try_micro_batch"]

_FLOAT = 4  # bytes
_MOMENTS = {"adamw": 2 * _FLOAT, "adamw-8bit": 2}  # bytes for each trained number
# Messages of CUDA and of torch's CPU allocator, which raises a plain RuntimeError.
_RAN_OUT = ("out of memory", "not enough memory", "can't allocate memory")


def check_memory(settings: DiffusionTrainingSettings) -> None:
    """Raise TrainingError, with settings that fit, if memory is short even without activations.

    No weights are read: the base is built without values from its configurations.
    """
    free, (networks, state) = _free(), needs_of(settings)
    if networks + state <= free:
        return
    raise TrainingError(
        f"training would take {_gib(networks)} for the networks and {_gib(state)} for gradients, "
        f"moments and average, activations come on top, and {_gib(free)} are free",
        value=settings.base,
        fix=_fitting(settings, free),
    )


def needs_of(settings: DiffusionTrainingSettings) -> tuple[int, int]:
    """Return the bytes in each process: networks; gradients, moments and average."""
    model = outlined(settings)
    state = model.parameter_count * (_FLOAT + _stays(settings))
    holders = _processes() if spreads_weights() else 1
    return sum(_bytes(each) for each in _networks(model)), state // holders


def outlined(settings: DiffusionTrainingSettings) -> DiffusionModel:
    """Return the model without values: its weights are not read."""
    precision = resolved_precision(settings.precision)
    return load_base(settings.base, replace(settings.wanted(precision, 0), outlined=True))


def try_micro_batch(model: DiffusionModel, settings: DiffusionTrainingSettings) -> None:
    """Raise TrainingError, with what would fit, if a micro-batch runs out of memory.

    A network that will be compiled or sharded needs another amount of memory, so it is not tried;
    `advised` reports when it runs out during training.
    """
    if settings.compile or spreads_weights():
        return
    free, fits = _free(), _micro(settings)
    while fits and not _passes(model, settings, fits):
        fits //= 2
    if fits < _micro(settings):
        tried = f"set micro_batch: {fits} (it was tried; the batch stays {settings.batch})"
        raise TrainingError(
            f"memory runs out in a forward and backward pass: {_gib(free)} are free beside the "
            f"networks, of which {_gib(model.parameter_count * _stays(settings))} are for moments "
            "and average",
            value=_batch_text(settings),
            fix=tried if fits else _less(settings, 1),
        )


@contextmanager
def advised(settings: DiffusionTrainingSettings) -> Iterator[None]:
    """Turn running out of memory into a TrainingError that lists what needs less."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        if not isinstance(error, MemoryError) and not any(words in why for words in _RAN_OUT):
            raise
        raise TrainingError(
            f"memory ran out: {why}",
            value=_batch_text(settings),
            fix=_less(settings, max(1, _micro(settings) // 2)),
        ) from error


def _passes(model: DiffusionModel, settings: DiffusionTrainingSettings, count: int) -> bool:
    """Return whether `count` samples pass forward and backward.

    The model and the random state are left unchanged.
    """
    network, cuda = model.denoiser.train(), [model.device] if model.device.type == "cuda" else []
    buffers = [each.clone() for each in network.buffers()]
    objective = settings.objective(model)
    bf16 = resolved_precision(settings.precision) == "bf16"
    stays = model.parameter_count * _stays(settings)
    try:
        with advised(settings), torch.random.fork_rng(cuda):
            held = torch.empty(stays, dtype=torch.uint8, device=model.device)  # as from step 2 on
            batch = _blank_batch(model, max(settings.framing.sizes, key=math.prod), count)
            for _ in range(2 if settings.batch > count else 1):  # the second finds gradients there
                loss = edit_loss(model, objective, network, batch, bf16=bf16)
                torch.autograd.backward(loss)
            del held
    except TrainingError:
        return False
    finally:
        network.zero_grad()
        for each, before in zip(network.buffers(), buffers, strict=True):
            each.copy_(before)
    return True


def _blank_batch(model: DiffusionModel, size: Size, count: int) -> EditBatch:
    """Return blank samples of one size, with the conditions that the model takes."""
    latents = torch.zeros(count, *model.noise_shape(*size))
    text = model.blank_text().expand(count, -1)
    inputs = EditInputs(source=latents, text=text)
    if "mask" in model.conditions:
        inputs = inputs.with_({"mask": latents})
    if "reward" in model.conditions:
        scores = torch.ones(count, len(PERSPECTIVES))
        inputs = inputs.with_({"scores": scores, "keep": scores, "reward_text": text})
    return EditBatch(latents, inputs, latents, torch.zeros(count, dtype=torch.int64))


def _processes() -> int:
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_initialized() else 1


def _micro(settings: DiffusionTrainingSettings) -> int:
    """How many samples are in a process's memory at a time."""
    share = max(1, settings.batch // _processes())
    return min(settings.micro_batch or share, share)


def _stays(settings: DiffusionTrainingSettings) -> int:
    """Return the bytes of moments and average for each trained number."""
    return _MOMENTS[settings.optimiser.kind] + (0 if settings.average is None else _FLOAT)


def _batch_text(settings: DiffusionTrainingSettings) -> str:
    return f"batch {settings.batch}, micro_batch {_micro(settings)} at {settings.size} px"


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"


def _fitting(settings: DiffusionTrainingSettings, free: int) -> str:
    """Return the first changes that fit; each is tried together with those before it."""
    changed, texts = settings, []
    for text, change in _changes(settings):
        changed = changed.model_copy(update=change)
        texts.append(text)
        if sum(needs_of(changed)) <= free:
            return f"set {', '.join(texts)}"
    return "name a smaller base, or free memory"


def _less(settings: DiffusionTrainingSettings, micro: int) -> str:
    """Return what needs less memory, when the amount needed is not known."""
    changes = [f"micro_batch: {micro}"] if micro < _micro(settings) else []
    if not settings.gradient_checkpointing:
        changes.append("gradient_checkpointing: true")
    changes += [text for text, _ in _changes(settings)]
    return f"try {', '.join(changes)}{', or ' if changes else ''}a smaller size or base"


def _changes(settings: DiffusionTrainingSettings) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield changes that need less memory without activations, the smallest change first."""
    if resolved_precision(settings.precision) != resolved_precision("auto") == "bf16":
        yield "precision: bf16", {"precision": "bf16"}
    if settings.optimiser.kind == "adamw" and not spreads_weights():
        smaller = settings.optimiser.model_copy(update={"kind": "adamw-8bit"})
        yield "optimiser: {kind: adamw-8bit}", {"optimiser": smaller}
    if settings.average is not None:
        yield "average: null", {"average": None}
    if settings.lora is None:
        yield "lora: {rank: 16}", {"lora": LoraSettings()}


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
