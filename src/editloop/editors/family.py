"""Pipelines of the InstructPix2Pix family, loaded: diffusers' own classes, and those with a mask.

The weights come as safetensors. An original `.ckpt` is read without running anything it holds, and
refused where it holds more than tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import torch
from diffusers import (
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionXLInstructPix2PixPipeline,
)
from safetensors import SafetensorError
from torch import Tensor

from editloop.editors.checkpoints import Checkpoint
from editloop.errors import RecipeError, StoreError
from editloop.files import Files, explained, file_hash
from editloop.models.loading import device, load_pipeline, weights_digest
from editloop.store import fingerprint

__all__ = ["checkpoint_digest", "load_checkpoint"]

Stamp: TypeAlias = tuple[str, int, int]  # path, size, time of change in ns

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_NO_CHECKER = dict.fromkeys(("safety_checker", "feature_extractor", "image_encoder"))


class _TakesMask:
    """The mask's latents beside the source's, wherever diffusers prepares the source's.

    The picture comes with six channels, source and mask (white: may be edited), each [b, 3, h, w].
    Both are zero in the branch that is asked without the picture.
    """

    def prepare_image_latents(self, image: Tensor, *rest: Any, **named: Any) -> Tensor:
        prepare: Any = super().prepare_image_latents  # type: ignore[misc]
        return torch.cat([prepare(part, *rest, **named) for part in image.chunk(2, dim=1)], dim=1)


class _Masked(_TakesMask, StableDiffusionInstructPix2PixPipeline):  # type: ignore[misc]
    """SD 1.x or 2.x with a mask: 12 input channels."""


class _MaskedXL(_TakesMask, StableDiffusionXLInstructPix2PixPipeline):  # type: ignore[misc]
    """SDXL with a mask: 12 input channels."""


_CLASSES = {
    (False, False): StableDiffusionInstructPix2PixPipeline,
    (False, True): _Masked,
    (True, False): StableDiffusionXLInstructPix2PixPipeline,
    (True, True): _MaskedXL,
}  # by Checkpoint's xl and takes_mask


def load_checkpoint(checkpoint: Checkpoint, precision: str) -> Any:
    """The pipeline of a checkpoint, on the device, without safety checker and watermark.

    A masked one takes source and mask as one picture of six channels.
    """
    made = _CLASSES[checkpoint.xl, checkpoint.takes_mask]
    options: dict[str, Any] = {"add_watermarker": False} if checkpoint.xl else _NO_CHECKER
    if checkpoint.file is not None:
        return _load_file(made, checkpoint.file, checkpoint.folder, precision, options)
    try:
        return load_pipeline(made, checkpoint.folder, precision, **options)
    except (RuntimeError, SafetensorError) as error:  # a file breaks off, or lacks a tensor
        raise StoreError(
            "a checkpoint is not whole", value=checkpoint.folder, fix=f"get it again ({error})"
        ) from error


def _load_file(
    made: Any, file: Path, config: Path, precision: str, options: Mapping[str, Any]
) -> Any:
    """The pipeline in one original file, its networks described by a folder."""
    if precision == "fp16" and device() == "cpu":
        raise RecipeError("fp16 needs a GPU", value="precision=fp16", fix="write precision=bf16")
    if "safety_checker" in options:
        options = {**options, "requires_safety_checker": False}
    try:
        pipeline = made.from_single_file(
            str(file),
            config=str(config),
            dtype=_DTYPES[precision],
            local_files_only=True,
            **options,
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline.to(device())
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise RecipeError(
            "an original checkpoint that cannot be read as tensors alone, or is not of the family",
            value=file,
            fix=f"convert it to diffusers layout ({error})",
        ) from error


def checkpoint_digest(checkpoint: Checkpoint) -> str:
    """A digest of the files that a checkpoint is loaded from.

    They are read once in a process, while their sizes and times stay: a checkpoint has gigabytes.
    """
    with explained("read a checkpoint", checkpoint.file or checkpoint.folder):
        paths = [*sorted(checkpoint.folder.rglob("*")), *filter(None, [checkpoint.file])]
        stamps = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
        return _digest(checkpoint, tuple(stamps))


@lru_cache(maxsize=64)
def _digest(checkpoint: Checkpoint, stamps: tuple[Stamp, ...]) -> str:  # noqa: ARG001
    described = weights_digest(checkpoint.folder)
    if checkpoint.file is None:
        return described
    return fingerprint([file_hash(Files(), checkpoint.file), described])
