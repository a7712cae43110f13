"""What of a training is kept between steps: weights, their average, the optimiser's moments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from diffusers.training_utils import EMAModel
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

__all__ = ["TrainingState"]

# Whole tensors, also of a network that is spread over processes (FSDP); only what is trained.
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
_SOME = StateDictOptions(full_state_dict=True, strict=False, ignore_frozen_params=True)


class TrainingState:
    """The state of what is trained of a network; `decay` None keeps no average."""

    def __init__(self, network: nn.Module, optimiser: Any, decay: float | None) -> None:
        self._network = network
        self._optimiser = getattr(optimiser, "optimizer", optimiser)  # unwrapped of accelerate's
        self._trained = [each for each in network.parameters() if each.requires_grad]
        self._average = None if decay is None else EMAModel(self._trained, decay, foreach=True)
        if self._average is not None:
            self._average.to(self._trained[0].device)

    def average_in(self) -> None:
        """Add the weights of this step to the average."""
        if self._average is not None:
            self._average.step(self._trained)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The network with its average in place of its weights, for a while."""
        if self._average is None:
            yield
            return
        self._average.store(self._trained)
        self._average.copy_to(self._trained)
        try:
            yield
        finally:
            self._average.restore(self._trained)

    def keep_average(self) -> None:
        """Leave the average in the network for good."""
        if self._average is not None:
            self._average.copy_to(self._trained)

    def save(self) -> dict[str, Any]:
        """The whole state, on the CPU; every process calls it."""
        saved: dict[str, Any] = {
            "network": get_model_state_dict(self._network, options=_WHOLE),
            "optimiser": get_optimizer_state_dict(self._network, self._optimiser, options=_WHOLE),
        }
        if self._average is not None:
            saved["average"] = self._average.state_dict()
        return saved

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go back to a state that `save` gave."""
        set_model_state_dict(self._network, saved["network"], options=_SOME)
        set_optimizer_state_dict(self._network, self._optimiser, saved["optimiser"], options=_SOME)
        if self._average is not None:
            self._average.load_state_dict(saved["average"])
            self._average.to(self._trained[0].device)
