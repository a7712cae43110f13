"""A network that is spread over the processes that train it (FSDP), by torch's `fully_shard`.

accelerate spreads networks on GPUs only, and leaves whole ones on CPUs without a word. torch itself
does on both, so this asks torch, and what is tested on CPUs is what GPUs run. A shard is a DTensor,
which knows its whole; everything here that gathers is called by every process.
"""

from __future__ import annotations

import torch
from accelerate.utils import FullyShardedDataParallelPlugin
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import CPUOffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from editloop.errors import TrainingError

__all__ = ["check_sharding", "own_shard", "part_of", "shard", "unshard", "whole"]


def check_sharding(plugin: FullyShardedDataParallelPlugin, optimiser: str) -> None:
    """Raise TrainingError for what a launcher or recipe asks of FSDP that is not done here."""
    if plugin.fsdp_version != 2:
        raise TrainingError(
            "weights are spread over processes by the second version of FSDP only",
            value=f"fsdp_version {plugin.fsdp_version}",
            fix="set fsdp_version: 2 (`accelerate config`), or launch with --fsdp_version 2",
        )
    if isinstance(plugin.cpu_offload, CPUOffloadPolicy):
        raise TrainingError(
            "spread weights stay on their devices",
            value="fsdp_offload_params true",
            fix="set fsdp_offload_params: false (`accelerate config`)",
        )
    if optimiser == "adamw-8bit":
        raise TrainingError(
            "8-bit Adam cannot update weights that are spread over processes (FSDP)",
            value=optimiser,
            fix="set optimiser: {kind: adamw}, or train without FSDP",
        )


def shard(network: nn.Module) -> None:
    """Spread a network's weights in place; each is whole only while its block computes.

    Blocks are the layers that diffusers' networks in it name as such, and what is left is one.
    Weights are never left whole after a forward pass: one may follow after they were changed.
    """
    names = {
        name
        for each in network.modules()
        for name in getattr(each, "_no_split_modules", None) or ()
    }
    for each in reversed(list(network.modules())):  # inner blocks first
        if type(each).__name__ in names:
            fully_shard(each, reshard_after_forward=True)
    fully_shard(network, reshard_after_forward=True)


def own_shard(parameter: Tensor) -> Tensor:
    """What this process holds of a parameter, sharing its memory; all of one that is not spread."""
    if not isinstance(parameter, DTensor):
        return parameter
    with torch.no_grad():
        return parameter.to_local().requires_grad_(parameter.requires_grad)


def whole(own: Tensor, like: Tensor) -> Tensor:
    """The whole tensor of which each process holds `own`, spread as the parameter `like` is.

    It is on the CPU in the leader, and empty elsewhere; where nothing is spread it is `own`.
    """
    if not isinstance(like, DTensor):
        return own
    spread = DTensor.from_local(
        own, like.device_mesh, like.placements, shape=like.shape, stride=like.stride()
    )
    return _gathered(spread)


def part_of(tensor: Tensor, like: Tensor) -> Tensor:
    """What this process holds of a whole tensor that each process has: `whole` the other way."""
    if not isinstance(like, DTensor):
        return tensor
    there = tensor.to(like.device)
    spread = distribute_tensor(there, like.device_mesh, like.placements, src_data_rank=None)
    return spread.to_local().clone()  # the whole need not stay for it


def unshard(network: nn.Module) -> None:
    """Put whole weights, on the CPU, in the place of the leader's shards; for saving only."""
    for module in network.modules():
        for name, each in list(module.named_parameters(recurse=False)):
            if isinstance(each, DTensor):
                gathered = _gathered(each)
                if _leads():
                    made = nn.Parameter(gathered, requires_grad=each.requires_grad)
                    module.register_parameter(name, made)


def _gathered(spread: DTensor) -> Tensor:
    with torch.no_grad():
        gathered: Tensor = spread.full_tensor()
    return gathered.cpu() if _leads() else gathered.new_empty(0)


def _leads() -> bool:
    return distributed.get_rank() == 0
