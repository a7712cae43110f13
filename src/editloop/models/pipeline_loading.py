"""Loading and fingerprinting of pipelines in diffusers layout: safetensors only, offline.

No safety checker is loaded: its black pictures would be counted as the editor's results.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers.utils.logging
import torch
import transformers.utils.logging
from diffusers import DDIMScheduler

from editloop.errors import RecipeError, StoreError, UnavailableError
from editloop.hub.pretrained import load_pretrained
from editloop.hub.weights import file_digest
from editloop.models.outlines import outlined_networks
from editloop.models.text_encoders import whole_text_encoders
from editloop.models.tokenizer_checks import check_tokenizers
from editloop.runtime.machine import device
from editloop.storage.files import explained
from editloop.storage.records import fingerprint

__all__ = [
    "DTYPES",
    "check_channels",
    "ddim_of",
    "is_xl",
    "load_pipeline",
    "model_index",
    "parts_digest",
    "quietly",
    "weights_digest",
]

INDEX = "model_index.json"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_READ = frozenset({".safetensors", ".json", ".txt", ".model"})
_UNUSED = {"safety_checker", "feature_extractor", "image_encoder"}


def model_index(folder: Path) -> dict[str, Any]:
    """Read the index of a pipeline's folder.

    Raises UnavailableError if the folder has no index, StoreError if it cannot be read.
    """
    path = folder / INDEX
    if not path.is_file():
        raise UnavailableError(
            f"no diffusers pipeline in this folder: {INDEX} is missing", value=folder
        )
    try:
        index: dict[str, Any] = dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(
            "a pipeline's index cannot be read", value=path, fix=f"download it again ({error})"
        ) from error
    return index


@contextmanager
def quietly() -> Iterator[None]:
    """Silence the libraries' progress bars and hints, which fill a terminal while loading."""
    libraries = [diffusers.utils.logging, transformers.utils.logging]
    before = [(each, each.get_verbosity(), each.is_progress_bar_enabled()) for each in libraries]
    for each in libraries:
        each.set_verbosity_error()
        each.disable_progress_bar()
    try:
        yield
    finally:
        for each, verbosity, bars in before:
            each.set_verbosity(verbosity)
            if bars:
                each.enable_progress_bar()


def is_xl(folder: Path) -> bool:
    """Return whether a folder has a Stable Diffusion XL pipeline (with two text encoders)."""
    return "text_encoder_2" in model_index(folder)


def load_pipeline(
    made: Any, folder: Path, precision: str, *, outlined: bool = False, **components: Any
) -> Any:
    """Load the pipeline of class `made` in a folder on the device, without a progress bar.

    If `outlined`, its networks have no values and are on torch's meta device: no weights are read.
    Raises UnavailableError if weights are missing or not safetensors, StoreError if they are
    incomplete, and RecipeError if they belong to another kind of pipeline.
    """
    index = model_index(folder)
    if precision == "fp16" and device() == "cpu":
        raise RecipeError("fp16 needs a GPU", value="precision=fp16", fix="set precision=bf16")
    components = {**dict.fromkeys(_UNUSED & index.keys()), **components}
    if "safety_checker" in index:
        components["requires_safety_checker"] = False
    dtype = DTYPES[precision]
    try:
        networks = (
            outlined_networks(folder, index, dtype)
            if outlined
            else whole_text_encoders(folder, dtype)
        )
        pipeline = load_pretrained(
            made, folder, dtype=dtype, use_safetensors=True, **{**networks, **components}
        ).to("meta" if outlined else device())
    except OSError as error:
        raise UnavailableError(
            f"weights are missing or not in safetensors format: {error}", value=folder
        ) from error
    except RuntimeError as error:  # a tensor is missing or has another shape
        raise StoreError(
            "a pipeline's weights are incomplete",
            value=folder,
            fix=f"download them again ({error})",
        ) from error
    except ValueError as error:
        raise RecipeError(
            f"{made.__name__} cannot be built from another pipeline's parts",
            value=f"{folder} ({index.get('_class_name')})",
            fix=str(error),
        ) from error
    except (AttributeError, KeyError, TypeError) as error:  # an invalid configuration
        raise StoreError(
            "a pipeline's parts cannot be read", value=folder, fix=f"download it again ({error!r})"
        ) from error
    check_tokenizers(pipeline, folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def check_channels(pipeline: Any, *known: int) -> None:
    """Raise RecipeError unless a pipeline's UNet has one of the `known` numbers of input channels.

    4 is a text-to-image UNet, 8 one for instructions, 9 one for inpainting.
    """
    channels = pipeline.unet.config.in_channels
    if channels not in known:
        wanted = " or ".join(map(str, known))
        raise RecipeError(
            f"a UNet with {channels} input channels, but {wanted} are needed",
            value=pipeline.name_or_path,
            fix="use inpaint: for 9 channels, diffusion: for 8 or 12, the others for 4",
        )


def weights_digest(folder: Path) -> str:
    """Return a digest of the files that a folder's pipeline reads.

    In the hub's cache a large file's name is already its SHA-256, so the file is not read.
    """
    parts = [name for name, value in model_index(folder).items() if isinstance(value, list)]
    return _files_digest(folder, [INDEX, *(name for name in parts if name not in _UNUSED)])


def parts_digest(folder: Path, prefix: str) -> str:
    """Return a digest of the files of a pipeline's parts whose names start with `prefix`."""
    return _files_digest(folder, [name for name in model_index(folder) if name.startswith(prefix)])


def _files_digest(folder: Path, names: Sequence[str]) -> str:
    """Return a digest of files, and of all files in folders, by their names in `folder`."""
    with explained("read a model", folder):
        places = [folder / name for name in names]
        paths = [path for place in places for path in (place, *place.rglob("*"))]
        files = {
            path.relative_to(folder).as_posix(): file_digest(path)
            for path in sorted(paths)
            if path.suffix in _READ and path.is_file()
        }
    return fingerprint(files)


def ddim_of(pipeline: Any) -> Any:
    """Return the deterministic scheduler (DDIM) with a pipeline's own noise levels."""
    config = pipeline.scheduler.config
    return DDIMScheduler.from_config(config, clip_sample=False, set_alpha_to_one=False)
