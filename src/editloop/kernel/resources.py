"""The resources of a step: what the worker that runs it must have."""

from __future__ import annotations

from dataclasses import dataclass

from editloop.errors import StepError
from editloop.runtime.machine import cores

__all__ = ["CPU", "GPU", "NETWORK", "Resources", "a_judge", "a_model", "resources_of"]


@dataclass(frozen=True, slots=True)
class Resources:
    """The processor cores, GPUs and network that a step uses.

    Consecutive steps with equal resources share a segment; segments with different resources run
    at the same time. With `gpu_optional`, a step that states a GPU runs on the CPU if there is
    none. `network` states that the step mostly waits for servers.
    """

    cpus: int = 1
    gpus: int = 0
    network: bool = False
    gpu_optional: bool = False

    def __post_init__(self) -> None:
        if self.cpus < 1 or self.gpus < 0:
            raise StepError(
                "resources are out of range",
                value=f"cpus={self.cpus}, gpus={self.gpus}",
                fix="state at least one core, and no negative number of GPUs",
            )

    @property
    def kind(self) -> str:
        """The kind of worker: `gpu`, `network` or `cpu`."""
        return "gpu" if self.gpus else "network" if self.network else "cpu"


CPU = Resources()
GPU = Resources(gpus=1)
NETWORK = Resources(network=True)


def a_model() -> Resources:
    """Return the resources of a model that runs on a GPU, or on all cores if there is none."""
    return Resources(cpus=cores(), gpus=1, gpu_optional=True)


def a_judge() -> Resources:
    """Return the resources of a judge, which may ask a server or run a model: all cores."""
    return Resources(cpus=cores(), network=True)


def resources_of(part: object) -> Resources:
    """Return the resources that a source or step states; one core if it states none."""
    found: Resources = getattr(part, "resources", CPU)
    return found
