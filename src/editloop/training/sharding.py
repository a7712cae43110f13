"""Sharding a network's weights over the training processes (FSDP), by torch's `fully_shard`.

accelerate shards networks on GPUs only, and silently doesn't on CPUs. torch shards on both, so this
calls torch directly, and tests on CPUs cover what runs on GPUs. A shard is a DTensor; every process
must call the functions here that gather.
"""

from __future__ import annotations

import atexit

import torch
from accelerate import PartialState
from accelerate.utils import FullyShardedDataParallelPlugin
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from editloop.errors import TrainingError

__all__ = ["check_sharding", "own_shard", "part_of", "shard", "unshard", "whole"]


def check_sharding(plugin: FullyShardedDataParallelPlugin, optimiser: str) -> None:
    """Raise TrainingError for FSDP settings of a launcher or recipe that are not supported."""
    if plugin.fsdp_version != 2:
        raise TrainingError(
            "only version 2 of FSDP is supported",
            value=f"fsdp_version {plugin.fsdp_version}",
            fix="set fsdp_version: 2 (`accelerate config`), or launch with --fsdp_version 2",
        )
    if isinstance(plugin.cpu_offload, CPUOffloadPolicy):
        raise TrainingError(
            "FSDP with CPU offload is not supported",
            value="fsdp_offload_params true",
            fix="set fsdp_offload_params: false (`accelerate config`)",
        )
    if optimiser == "adamw-8bit":
        raise TrainingError(
            "8-bit Adam cannot update sharded weights (FSDP)",
            value=optimiser,
            fix="set optimiser: {kind: adamw}, or train without FSDP",
        )


def shard(network: nn.Module) -> None:
    """Shard a network's weights in place; each is gathered only while its block computes.

    Blocks are the layers in `_no_split_modules` of its diffusers networks; the remaining layers
    form one block. Weights are always resharded after a forward pass, as the next forward pass may
    follow after they were changed.
    """
    names = {
        name
        for each in network.modules()
        for name in getattr(each, "_no_split_modules", None) or ()
    }
    mesh = _mesh()
    for each in reversed(list(network.modules())):  # inner blocks first
        if type(each).__name__ in names:
            fully_shard(each, mesh=mesh, reshard_after_forward=True)
    fully_shard(network, mesh=mesh, reshard_after_forward=True)


def _mesh() -> DeviceMesh:
    """All processes; it lets go of their process group when Python ends.

    DTensor's caches keep a mesh and a mesh its group, but the group's threads must have ended then.
    """
    mesh = init_device_mesh(PartialState().device.type, (distributed.get_world_size(),))
    atexit.register(vars(mesh).get("_pg_registry", {}).clear)
    return mesh


def own_shard(parameter: Tensor) -> Tensor:
    """Return this process's shard of a parameter, sharing its memory; all of it if not sharded."""
    if not isinstance(parameter, DTensor):
        return parameter
    with torch.no_grad():
        return parameter.to_local().requires_grad_(parameter.requires_grad)


def whole(own: Tensor, like: Tensor) -> Tensor:
    """Gather the tensor of which each process holds the shard `own`, sharded like `like`.

    The result is on the CPU in the main process, and empty in others; if `like` is not sharded, it
    is `own`.
    """
    if not isinstance(like, DTensor):
        return own
    spread = DTensor.from_local(
        own, like.device_mesh, like.placements, shape=like.shape, stride=like.stride()
    )
    return _gathered(spread)


def part_of(tensor: Tensor, like: Tensor) -> Tensor:
    """Return this process's shard of a full tensor that each process has; inverse of `whole`."""
    if not isinstance(like, DTensor):
        return tensor
    there = tensor.to(like.device)
    spread = distribute_tensor(there, like.device_mesh, like.placements, src_data_rank=None)
    return spread.to_local().clone()  # so that the full tensor can be freed


def unshard(network: nn.Module) -> None:
    """Replace the main process's shards by the gathered weights, on the CPU; for saving only."""
    for module in network.modules():
        for name, each in list(module.named_parameters(recurse=False)):
            if isinstance(each, DTensor):
                gathered = _gathered(each)
                if _is_leader():
                    made = nn.Parameter(gathered, requires_grad=each.requires_grad)
                    module.register_parameter(name, made)


def _gathered(spread: DTensor) -> Tensor:
    with torch.no_grad():
        gathered: Tensor = spread.full_tensor()
    return gathered.cpu() if _is_leader() else gathered.new_empty(0)


def _is_leader() -> bool:
    return distributed.get_rank() == 0
