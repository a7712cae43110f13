"""The state of a training between steps: weights, their average, the optimiser's moments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from editloop.training.finite import all_finite
from editloop.training.sharding import own_shard, part_of, whole

__all__ = ["TrainingState"]

# Full tensors, also of a sharded network (FSDP), and of trained parameters only.
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
_SOME = StateDictOptions(full_state_dict=True, strict=False, ignore_frozen_params=True)


class TrainingState:
    """The state of a network's trained parameters; `decay` None keeps no average."""

    def __init__(self, network: nn.Module, optimiser: Any, decay: float | None) -> None:
        self._network = network
        self._optimiser = getattr(optimiser, "optimizer", optimiser)  # without accelerate's wrapper
        self._trained = [each for each in network.parameters() if each.requires_grad]
        self._average = None if decay is None else EMAModel(self._own, decay, foreach=True)
        if self._average is not None:
            self._average.to(self._trained[0].device)

    @property
    def _own(self) -> list[Tensor]:
        """The local shards of the trained parameters: averages are kept per shard."""
        return [own_shard(each) for each in self._trained]

    def average_in(self) -> None:
        """Add the weights of this step to the average."""
        if self._average is not None:
            self._average.step(self._own)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Use the average in place of the network's weights within the block."""
        if self._average is None:
            yield
            return
        self._average.store(self._own)
        self._average.copy_to(self._own)
        try:
            yield
        finally:
            self._average.restore(self._own)

    def keep_average(self) -> None:
        """Replace the network's weights by their average."""
        if self._average is not None:
            self._average.copy_to(self._own)

    def finite(self) -> dict[str, Tensor]:
        """Return for each part of this process's state 1 if all its values are finite, else 0."""
        device = self._trained[0].device
        average = [] if self._average is None else self._average.shadow_params
        moments = [
            own_shard(each)
            for state in self._optimiser.state.values()
            for each in state.values()
            if isinstance(each, Tensor)
        ]
        parts = {"the weights": self._own, "the average": average, "the moments": moments}
        return {name: all_finite(tensors, device) for name, tensors in parts.items()}

    def save(self) -> dict[str, Any]:
        """Return the full state, on the CPU; every process must call it."""
        saved: dict[str, Any] = {
            "network": get_model_state_dict(self._network, options=_WHOLE),
            "optimiser": get_optimizer_state_dict(self._network, self._optimiser, options=_WHOLE),
        }
        if self._average is not None:
            average = self._average.state_dict()
            pairs = zip(average["shadow_params"], self._trained, strict=True)
            saved["average"] = {**average, "shadow_params": [whole(*each) for each in pairs]}
        return saved

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Restore a state that `save` returned."""
        set_model_state_dict(self._network, saved["network"], options=_SOME)
        set_optimizer_state_dict(self._network, self._optimiser, saved["optimiser"], options=_SOME)
        if self._average is not None:
            average = saved["average"]
            pairs = zip(average["shadow_params"], self._trained, strict=True)
            own = [part_of(*each) for each in pairs]
            self._average.load_state_dict({**average, "shadow_params": own})
            self._average.to(self._trained[0].device)
