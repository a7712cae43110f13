"""Counters of a measured process: its steps, and the pictures and texts it encodes."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch.optim.optimizer import register_optimizer_step_post_hook
from transformers import CLIPTextModel

from editloop.schema import Json

__all__ = ["Enough", "Steps"]


class Enough(BaseException):
    """Raised when the requested number of steps is done."""


class Steps:
    """Records at the end of each optimiser step the wall-clock and processor time, and the counts.

    The counts are of the pictures and texts encoded so far. The last step raises `Enough`, which
    ends the training before it writes its results.
    """

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._pictures = 0
        self._texts = 0
        self.ends: list[dict[str, Json]] = []
        self.finite = True

    def watch(self) -> None:
        """Count from now on."""
        self._count(AutoencoderKL, "encode", "_pictures")
        self._count(CLIPTextModel, "forward", "_texts")
        register_optimizer_step_post_hook(self._ended)

    @property
    def pictures(self) -> int:
        """The number of pictures encoded so far."""
        return self._pictures

    def tell(self, path: str, **facts: Json) -> None:
        """Write the measurements, and other facts, for the parent process."""
        found = {"ends": self.ends, "finite": self.finite, **facts}
        Path(path).write_text(json.dumps(found), encoding="utf-8")

    def _count(self, kind: Any, name: str, count: str) -> None:
        bare: Callable[..., Any] = getattr(kind, name)

        @wraps(bare)
        def call(network: Any, rows: Any = None, *others: Any, **options: Any) -> Any:
            given = options["input_ids"] if rows is None else rows
            setattr(self, count, getattr(self, count) + len(given))
            arguments = () if rows is None else (rows,)
            return bare(network, *arguments, *others, **options)

        setattr(kind, name, call)

    def _ended(self, optimiser: torch.optim.Optimizer, *_arguments: Any) -> None:
        self.ends.append(
            {
                "time": time.time(),
                "processor": time.process_time(),
                "pictures": self._pictures,
                "texts": self._texts,
            }
        )
        if len(self.ends) == self._wanted:
            trained = (each for group in optimiser.param_groups for each in group["params"])
            self.finite = all(math.isfinite(each.sum().item()) for each in trained)
            raise Enough
