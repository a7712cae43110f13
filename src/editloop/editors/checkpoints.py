"""What a checkpoint of the InstructPix2Pix family is, read from its configuration alone.

Understood are diffusers' two pipelines of the family, for SD 1.x / 2.x and SDXL, whose UNet takes
the noisy latents beside the source's (8 channels), or those and the mask's (12, UltraEdit's
region-based models). They come as a folder in diffusers layout or as one original file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from editloop import weights
from editloop.editors.asking import ORIGINAL
from editloop.errors import RecipeError, StoreError, UnavailableError
from editloop.models.loading import model_index
from editloop.schema import Json

__all__ = ["Checkpoint", "read_checkpoint"]

_UNDERSTOOD = (
    "StableDiffusionInstructPix2PixPipeline",
    "StableDiffusionXLInstructPix2PixPipeline",
)
_HINTS = {
    "StableDiffusion3InstructPix2PixPipeline": (
        "this class comes with UltraEdit's own copy of diffusers, not with diffusers: run it there "
        "and name its outputs, recorded:FOLDER"
    ),
    "StableDiffusionPipeline": (
        "it makes pictures from text: use it with sdedit:, diffedit:, null-text: or ledits++:"
    ),
    "StableDiffusionXLPipeline": ("it makes pictures from text: use it with sdedit: or ledits++:"),
    "StableDiffusionInpaintPipeline": "it paints a masked region: use it with inpaint:",
    "StableDiffusionXLInpaintPipeline": "it paints a masked region: use it with inpaint:",
    "FluxKontextPipeline": "use it with flux-kontext:",
    "QwenImageEditPipeline": "use it with qwen-image-edit:",
    "QwenImageEditPlusPipeline": "use it with qwen-image-edit:",
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a checkpoint is and what it takes.

    `folder` holds it in diffusers layout or, where it is one original `file`, its configuration.
    """

    folder: Path
    file: Path | None
    xl: bool
    takes_mask: bool


def read_checkpoint(target: str, config: str) -> Checkpoint:
    """The checkpoint of a name: a folder, a hub name, or an original file, described by `config`.

    Raises UnavailableError where it is not on this machine, and RecipeError where it is of another
    kind, with what it is good for.
    """
    path = Path(target).expanduser()
    file = path if path.is_file() else None
    if file is not None and file.suffix not in ORIGINAL:
        raise RecipeError(
            "not a checkpoint's file", value=file, fix=f"name a folder, or a {_or(ORIGINAL)} file"
        )
    if file is None and path.suffix in ORIGINAL:
        raise UnavailableError("no such file", value=path)
    folder = weights.find(target if file is None else config)
    name = str(model_index(folder).get("_class_name"))
    if name not in _UNDERSTOOD:
        raise RecipeError(
            f"a pipeline that is not asked by an instruction and a picture, {name}",
            value=folder,
            fix=_HINTS.get(name, f"understood: {_or(_UNDERSTOOD)}"),
        )
    if file is None:
        _check_weights(folder, target)
    return Checkpoint(folder, file, xl="XL" in name, takes_mask=_takes_mask(folder))


def _takes_mask(folder: Path) -> bool:
    latents = int(_configuration(folder / "vae").get("latent_channels", 4))
    channels = int(_configuration(folder / "unet").get("in_channels", latents))
    if channels not in (2 * latents, 3 * latents):
        raise RecipeError(
            f"a UNet of {channels} input channels, where the source makes it {2 * latents} "
            f"and a mask {3 * latents}",
            value=folder,
            fix=_HINTS["StableDiffusionPipeline"]
            if channels == latents
            else "name a checkpoint of the InstructPix2Pix family",
        )
    return channels == 3 * latents


def _check_weights(folder: Path, target: str) -> None:
    """Each network's weights are there, as safetensors."""
    for name in ("unet", "vae", "text_encoder"):
        if not any((folder / name).glob("*.safetensors")):
            raise UnavailableError(
                "a checkpoint without weights in safetensors form",
                value=folder / name,
                command=None if Path(target).expanduser().is_dir() else weights.command(target),
            )


def _configuration(part: Path) -> dict[str, Json]:
    path = part / "config.json"
    try:
        read: dict[str, Json] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(
            "a checkpoint's configuration cannot be read", value=path, fix=str(error)
        ) from error
    return read


def _or(names: tuple[str, ...]) -> str:
    return " or ".join(names)
