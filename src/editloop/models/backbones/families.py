"""The families of models that can be trained to edit, with their defaults, by a folder's index."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from editloop.errors import RecipeError
from editloop.models.pipeline_loading import model_index

__all__ = [
    "FAMILIES",
    "SIZES_FACTOR",
    "EditingDefaults",
    "Family",
    "family_of",
    "imported",
    "pipeline_class_of",
]

SIZES_FACTOR = 8  # pixels of a side for one latent


@dataclass(frozen=True, slots=True)
class EditingDefaults:
    """The editing settings of a family that neither a user nor a protocol sets.

    `text_guidance` and `image_guidance` are the scales of InstructPix2Pix's equation 3; with both 1
    the network is called once a step. `guidance` is the scale that a distilled network gets as an
    input; None for other networks. `scheduler` "default" is the checkpoint's own. A model works at
    the one of `sizes` that is nearest in shape, if there are any, else at a long side of the
    network's own size, but no more than `largest` pixels.
    """

    steps: int = 20
    text_guidance: float = 7.5
    image_guidance: float = 1.5
    guidance: float | None = None
    scheduler: str = "default"
    largest: int | None = None
    resolutions: str | None = None  # `module:name` of a list of (width, height)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """The heights and widths in pixels that the family was trained at, if they are listed.

        They are those of an autoencoder whose factor is SIZES_FACTOR.
        """
        listed = () if self.resolutions is None else imported(self.resolutions)
        return tuple((height, width) for width, height in listed)


@dataclass(frozen=True, slots=True)
class Family:
    """A family of models.

    `bases` are the pipeline classes it starts from, the first one being diffusers' own; `part` is
    the network in them that is trained, `saved_as` the class of the trained pipeline; `loader` is a
    function's `module:name`, imported on demand. `takes` are the possible conditions; `whole` is
    whether it can be trained without LoRA. `editing` are its defaults when editing, `dropout` when
    training: the probability of dropping the instruction, the source, and both. With
    `reads_tokens`, a source is given as extra tokens, not as extra channels; `patch` is the side,
    in latents, of a token if the network's configuration doesn't have it.
    """

    name: str
    bases: tuple[str, ...]
    part: str
    saved_as: str
    loader: str
    takes: tuple[str, ...] = ("source", "mask", "reward")
    whole: bool = True
    editing: EditingDefaults = EditingDefaults()
    dropout: float = 0.05
    reads_tokens: bool = False
    patch: int | None = None


_KONTEXT_RESOLUTIONS = (
    "diffusers.pipelines.flux.pipeline_flux_kontext:PREFERRED_KONTEXT_RESOLUTIONS"
)
_ALL = (
    Family(
        name="sd",
        bases=("StableDiffusionPipeline", "StableDiffusionInstructPix2PixPipeline"),
        part="unet",
        saved_as="StableDiffusionInstructPix2PixPipeline",
        loader="editloop.models.backbones.stable_diffusion:load_stable_diffusion",
    ),
    Family(
        name="sdxl",
        bases=("StableDiffusionXLPipeline", "StableDiffusionXLInstructPix2PixPipeline"),
        part="unet",
        saved_as="StableDiffusionXLInstructPix2PixPipeline",
        loader="editloop.models.backbones.stable_diffusion:load_stable_diffusion",
    ),
    Family(
        name="sd3",
        bases=("StableDiffusion3Pipeline", "StableDiffusion3InstructPix2PixPipeline"),
        part="transformer",
        saved_as="StableDiffusion3InstructPix2PixPipeline",
        loader="editloop.models.backbones.sd3:load_sd3",
        takes=("source", "mask"),
        # As in UltraEdit's example; its models were trained at 512 px, their networks say 1024.
        editing=EditingDefaults(steps=50, largest=512),
    ),
    Family(
        name="flux-kontext",
        bases=("FluxKontextPipeline",),
        part="transformer",
        saved_as="FluxKontextPipeline",
        loader="editloop.models.backbones.flux_kontext:load_flux_kontext",
        takes=("source",),
        whole=False,
        # diffusers' defaults and the model card's guidance; guided by its input, not by branches.
        editing=EditingDefaults(
            steps=28,
            text_guidance=1.0,
            image_guidance=1.0,
            guidance=2.5,
            resolutions=_KONTEXT_RESOLUTIONS,
        ),
        dropout=0.0,
        reads_tokens=True,
        patch=2,
    ),
)
FAMILIES = {family.name: family for family in _ALL}


def imported(path: str) -> Any:
    """Return what a `module:name` names, importing the module."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def pipeline_class_of(folder: Path) -> str:
    """Return the class name of the pipeline in a folder, from its index."""
    return str(model_index(folder).get("_class_name"))


def family_of(folder: Path) -> Family:
    """Return the family of the pipeline in a folder; raise RecipeError if there is none."""
    name = pipeline_class_of(folder)
    for family in _ALL:
        if name in family.bases:
            return family
    known = ", ".join(base for family in _ALL for base in family.bases)
    raise RecipeError(
        f"a base of this class cannot be trained to edit: {name}",
        value=folder,
        fix=f"known: {known}",
    )
