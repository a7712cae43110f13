"""Pipelines in diffusers layout, loaded and identified: safetensors only, without the network.

No safety checker is loaded: a blackened picture would be no answer of the editor's.
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
    """What a pipeline's folder says it holds.

    Raises UnavailableError where it is none, StoreError where what it says cannot be read.
    """
    path = folder / INDEX
    if not path.is_file():
        raise UnavailableError(f"no diffusers pipeline here (it would hold {INDEX})", value=folder)
    try:
        index: dict[str, Any] = dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(
            "a pipeline's index cannot be read", value=path, fix=f"get it again ({error})"
        ) from error
    return index


@contextmanager
def quietly() -> Iterator[None]:
    """Without the libraries' progress bars and hints, which fill a terminal while loading."""
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
    """Whether a folder holds Stable Diffusion XL's kind of pipeline: it has two text encoders."""
    return "text_encoder_2" in model_index(folder)


def load_pipeline(
    made: Any, folder: Path, precision: str, *, outlined: bool = False, **components: Any
) -> Any:
    """The pipeline of class `made` in a folder, on the device, without a progress bar.

    An `outlined` one has networks without values, on torch's meta device: no weights are read.
    Raises UnavailableError where weights are absent or not safetensors, StoreError where they are
    not whole, and RecipeError where they are another kind of pipeline's.
    """
    index = model_index(folder)
    if precision == "fp16" and device() == "cpu":
        raise RecipeError("fp16 needs a GPU", value="precision=fp16", fix="write precision=bf16")
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
        pipeline = made.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            **{**networks, **components},
        ).to("meta" if outlined else device())
    except OSError as error:
        raise UnavailableError(
            f"weights are absent or not in safetensors form: {error}", value=folder
        ) from error
    except RuntimeError as error:  # a tensor is absent or of another shape
        raise StoreError(
            "a pipeline's weights are not whole", value=folder, fix=f"get them again ({error})"
        ) from error
    except ValueError as error:
        raise RecipeError(
            f"{made.__name__} cannot be made of another pipeline's parts",
            value=f"{folder} ({index.get('_class_name')})",
            fix=str(error),
        ) from error
    except (AttributeError, KeyError, TypeError) as error:  # a part is described by nonsense
        raise StoreError(
            "a pipeline's parts cannot be read", value=folder, fix=f"get it again ({error!r})"
        ) from error
    check_tokenizers(pipeline, folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def check_channels(pipeline: Any, *known: int) -> None:
    """Raise RecipeError unless a pipeline's UNet takes one of some numbers of input channels.

    4 is a plain one, 8 one that edits by instructions, 9 one that paints a masked region.
    """
    channels = pipeline.unet.config.in_channels
    if channels not in known:
        wanted = " or ".join(map(str, known))
        raise RecipeError(
            f"a UNet of {channels} input channels, where this editor asks one of {wanted}",
            value=pipeline.name_or_path,
            fix="use inpaint: with 9 channels, diffusion: with 8 or 12, the others with 4",
        )


def weights_digest(folder: Path) -> str:
    """A digest of the files that a pipeline in a folder reads.

    In the hub's cache a large file's name is its SHA-256 already, so it is not read again.
    """
    parts = [name for name, value in model_index(folder).items() if isinstance(value, list)]
    return _files_digest(folder, [INDEX, *(name for name in parts if name not in _UNUSED)])


def parts_digest(folder: Path, prefix: str) -> str:
    """A digest of the files of those of a pipeline's parts whose names start so."""
    return _files_digest(folder, [name for name in model_index(folder) if name.startswith(prefix)])


def _files_digest(folder: Path, names: Sequence[str]) -> str:
    """Of files by their names, and of all that folders hold."""
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
    """The deterministic scheduler (DDIM) over a pipeline's own noise levels."""
    config = pipeline.scheduler.config
    return DDIMScheduler.from_config(config, clip_sample=False, set_alpha_to_one=False)
