"""Load checkpoints as models to edit with, from safetensors; no code in a checkpoint is run.

An original `.ckpt` is read as tensors alone, and refused if it contains anything else.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.loaders.single_file_utils import SingleFileComponentError
from safetensors import SafetensorError, safe_open

from editloop.editors.checkpoints import Checkpoint
from editloop.editors.released import load_released
from editloop.errors import RecipeError, StoreError
from editloop.hub.pretrained import refuse_code
from editloop.hub.weights import file_digest
from editloop.models.backbones.base_loading import load_base, load_trained, trained_index
from editloop.models.backbones.base_request import Precision, Wanted
from editloop.models.backbones.families import family_of, pipeline_class_of
from editloop.models.backbones.model import DiffusionModel
from editloop.models.backbones.saving import GROWN, LORA, REWARD
from editloop.models.backbones.stable_diffusion import of_pipeline
from editloop.models.pipeline_loading import DTYPES, INDEX, model_index, quietly, weights_digest
from editloop.runtime.machine import device
from editloop.storage.files import explained
from editloop.storage.records import fingerprint

__all__ = ["checkpoint_digest", "load_checkpoint"]

_NO_CHECKER = dict.fromkeys(("safety_checker", "feature_extractor", "image_encoder"))
_ORIGINAL_PARTS = {  # how the names of tensors begin in original files of all families
    "text encoder": ("cond_stage_model.", "conditioner.", "text_encoders.", "te."),
    "autoencoder": ("first_stage_model.", "vae."),
}
_DECIDING = ("family", "conditions", "reward", "lora", "scales_sources")


def load_checkpoint(checkpoint: Checkpoint, precision: Precision) -> DiffusionModel:
    """Load the model of a checkpoint on the device, ready to edit in `precision`.

    Raises StoreError where it is incomplete, RecipeError where it is of another kind.
    """
    try:
        with quietly():
            model = _loaded(checkpoint, precision)
    except (RuntimeError, SafetensorError) as error:  # a truncated file, or a missing tensor
        raise StoreError(
            "a checkpoint is incomplete", value=checkpoint.folder, fix=f"get it again ({error})"
        ) from error
    model.denoiser.to(DTYPES[precision]).eval().requires_grad_(False)
    if precision != "fp32":  # convolutions in half precision are faster in this layout
        for network in (model.denoiser, model.autoencoder.vae):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if model.lora is not None:  # adapters cost no time once they are merged into the weights
        model.network.fuse_lora()
    return model


def _loaded(checkpoint: Checkpoint, precision: Precision) -> DiffusionModel:
    if checkpoint.trained:
        return load_trained(checkpoint.folder, precision)
    if checkpoint.reward is not None:
        return load_released(checkpoint.name, checkpoint.folder, precision)
    wanted = Wanted(conditions=checkpoint.conditions, precision=precision, trained=False)
    if checkpoint.file is not None:
        return _load_file(checkpoint, checkpoint.file, wanted)
    model = load_base(checkpoint.name, wanted)
    if model_index(checkpoint.folder).get("is_cosxl_edit"):  # trained with scaled source latents
        model.autoencoder = replace(model.autoencoder, scales_sources=True)
    return model


def _load_file(checkpoint: Checkpoint, file: Path, wanted: Wanted) -> DiffusionModel:
    """Load the model in one original file, with the configuration of its networks in a folder."""
    if wanted.precision == "fp16" and device() == "cpu":
        raise RecipeError("fp16 needs a GPU", value="precision=fp16", fix="write precision=bf16")
    folder = checkpoint.folder
    refuse_code(folder)
    made: Any = getattr(diffusers, pipeline_class_of(folder))
    options: dict[str, Any] = {"add_watermarker": False}
    if family_of(folder).name == "sd":
        options = {**_NO_CHECKER, "requires_safety_checker": False}
    try:
        pipeline = made.from_single_file(
            str(file),
            config=str(folder),
            dtype=DTYPES[wanted.precision],
            local_files_only=True,
            **options,
        )
        return of_pipeline(pipeline.to(device()), checkpoint.name, folder, wanted)
    except (
        *(OSError, ValueError, KeyError, RuntimeError, AttributeError, TypeError),
        SingleFileComponentError,
    ) as error:
        if absent := _absent_parts(file):
            raise RecipeError(
                f"the file holds no {' and no '.join(absent)}",
                value=file,
                fix="get the whole checkpoint, or name a folder or hub name in diffusers layout",
            ) from error
        raise RecipeError(
            "the original checkpoint cannot be read as tensors alone, or is not of the family",
            value=file,
            fix=f"convert it to diffusers layout ({error})",
        ) from error


def _absent_parts(file: Path) -> list[str]:
    """Return the parts of which an original .safetensors file has no tensor."""
    try:
        with safe_open(file, framework="pt") as opened:
            names = tuple(opened.keys())
    except (OSError, SafetensorError):  # another format, or no such file
        return []
    return [
        part
        for part, starts in _ORIGINAL_PARTS.items()
        if not any(name.startswith(starts) for name in names)
    ]


def checkpoint_digest(checkpoint: Checkpoint) -> str:
    """Return a digest of the files that a checkpoint is loaded from.

    A file is read once per process unless its size or time changes: checkpoints have gigabytes.
    """
    with explained("read a checkpoint", checkpoint.file or checkpoint.folder):
        if checkpoint.trained:
            return _digest_of_trained(checkpoint)
        described = weights_digest(checkpoint.folder)
        if checkpoint.file is None:
            return described
        return fingerprint([file_digest(checkpoint.file), described])


def _digest_of_trained(checkpoint: Checkpoint) -> str:
    """Return the digest of a trained model: its weights, its kind and its base's weights.

    The settings of its training do not enter it.
    """
    folder = checkpoint.folder
    index = trained_index(folder) or {}
    own = {
        str(name): file_digest(folder / name)
        for name in (REWARD, LORA, GROWN)
        if (folder / name).is_file()
    }
    pipeline = checkpoint.base or folder
    return fingerprint(
        {
            "model": {name: index.get(name) for name in _DECIDING},
            "files": own,
            "pipeline": weights_digest(pipeline) if (pipeline / INDEX).is_file() else None,
        }
    )
