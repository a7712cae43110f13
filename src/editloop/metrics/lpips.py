"""LPIPS as a metric: finding its weights, and measuring pairs."""

from __future__ import annotations

import pickle
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from editloop.errors import UnavailableError
from editloop.metrics.cosines import MissingInput, scored
from editloop.metrics.geometry import Place, blackened, region_of, resized_to
from editloop.metrics.networks import exact
from editloop.metrics.perceptual import Distance, Net
from editloop.runtime.machine import device
from editloop.schema import EditedPair, Score, Unscored
from editloop.settings import Settings as BaseSettings

__all__ = ["VERSION", "LpipsMetric"]

VERSION = "2"

_SMALLEST_SIDE = 32  # px; AlexNet's pooling layers leave nothing of smaller pictures

_PUBLISHED = {"alex": "alexnet-owt-7be5be79.pth", "squeeze": "squeezenet1_1-b8a52dc0.pth"}
_NETWORKS = "https://download.pytorch.org/models/"
_HEADS = (
    "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/"
)


class LpipsMetric:
    """LPIPS of the edited picture and the target (or source): 0 or more, lower is closer.

    An edited picture of another size is resized to its reference's. For a region, the rest of both
    pictures is made black, as PIE-Bench does (with the network `squeeze`).
    """

    class Settings(BaseSettings):
        """The network, its weights, the picture to compare with, and the region."""

        target: Net = Field(default="alex", description="the network")
        weights: Path | None = Field(
            default=None,
            description="the folder of the two files of weights; torch.hub's folder by default",
        )
        against: Literal["target", "source"] = Field(
            default="target", description="the picture that the edited one is compared with"
        )
        region: Place = Field(
            default="whole", description="the whole picture, or a region with the rest black"
        )

    def __init__(self, settings: LpipsMetric.Settings) -> None:
        self._settings = settings
        place = "" if settings.region == "whole" else f"_{settings.region}"
        self.name = f"lpips{place}"
        self.version = VERSION
        self.needs = frozenset({"edited", settings.against} | ({"mask"} if place else set()))

    @property
    def weights(self) -> tuple[str, ...]:
        """The files of weights; empty if one is missing."""
        try:
            return tuple(str(path) for path in self._files.find())
        except UnavailableError:
            return ()

    def missing(self) -> UnavailableError | None:
        """Return an error that names the missing weights, or None; loads nothing."""
        try:
            self._files.find()
        except UnavailableError as error:
            return error
        return None

    def measure(self, batch: Sequence[EditedPair]) -> list[Score | Unscored]:
        """Return the distance of each pair, in order; each pair is compared separately."""
        return [scored(self._distance(pair), VERSION) for pair in batch]

    def _distance(self, pair: EditedPair) -> float | str:
        reference = pair.source if self._settings.against == "source" else pair.target
        if reference is None:
            return MissingInput("the case has no target")
        size = reference.shape[:2]
        if min(size) < _SMALLEST_SIDE:
            return f"a side is shorter than {_SMALLEST_SIDE} px"
        region = region_of(pair.mask, self._settings.region, size)
        if isinstance(region, str):
            return region
        edited = resized_to(pair.edited, size)
        with torch.inference_mode(), exact():
            return self._network.between(blackened(edited, region), blackened(reference, region))

    @property
    def _files(self) -> _Files:
        return _Files(self._settings.target, self._settings.weights)

    @cached_property
    def _network(self) -> Distance:
        network, heads = self._files.find()
        made = Distance(self._settings.target)
        try:
            made.load_published(_read(network), _read(heads))
        except (KeyError, RuntimeError) as error:
            raise UnavailableError(
                "these files are not the weights of LPIPS",
                value=f"{network.name}, {heads.name}: {str(error)[:200]}",
                command=self._files.command,
            ) from error
        return made.eval().requires_grad_(False).to(device())


@dataclass(frozen=True, slots=True)
class _Files:
    """The two files of weights: the network's, and the distance's own."""

    net: Net
    stated: Path | None

    @property
    def folder(self) -> Path:
        return self.stated or Path(torch.hub.get_dir()) / "checkpoints"

    def find(self) -> tuple[Path, Path]:
        """Return the two files; UnavailableError, with a command, if one is missing."""
        stem = _PUBLISHED[self.net].partition("-")[0]
        found = [self._first(f"{stem}*"), self._first(f"{self.net}.*")]
        if found[0] is None or found[1] is None:
            raise UnavailableError(
                "the weights of LPIPS are not on this machine",
                value=self.folder / (_PUBLISHED[self.net] if found[0] is None else self.heads),
                command=self.command,
            )
        return found[0], found[1]

    @property
    def heads(self) -> str:
        return f"{self.net}.pth"

    @property
    def command(self) -> str:
        """The command that downloads both files."""
        parts = ["curl", "-L", "--create-dirs"]
        for name, address in ((_PUBLISHED[self.net], _NETWORKS), (self.heads, _HEADS)):
            parts += ["-o", str(self.folder / name), address + name]
        return shlex.join(parts)

    def _first(self, pattern: str) -> Path | None:
        files = sorted(self.folder.glob(pattern))
        return next((path for path in files if path.suffix in (".safetensors", ".pth")), None)


def _read(path: Path) -> dict[str, Tensor]:
    """Read tensors by name, without unpickling any other objects."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors: dict[str, Tensor] = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise UnavailableError(
            "cannot read a file of weights", value=f"{path}: {str(error)[:200]}"
        ) from error
    return tensors
