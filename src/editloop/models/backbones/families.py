"""The families of models that can be trained to edit, and the family of a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from editloop.errors import RecipeError
from editloop.models.pipeline_loading import model_index

__all__ = ["FAMILIES", "Family", "family_of", "pipeline_class_of"]


@dataclass(frozen=True, slots=True)
class Family:
    """A family of models.

    `bases` are the pipeline classes it starts from, the first one being diffusers' own; `part` is
    the network in them that is trained, `saved_as` the class of the trained pipeline; `loader` is a
    function's `module:name`, imported on demand. `takes` are the possible conditions; `whole` is
    whether it can be trained without LoRA. `guidance` is the scale that a distilled network gets
    when editing. With `reads_tokens`, a source is given as extra tokens, not as extra channels;
    `patch` is the side, in latents, of a token if the network's configuration doesn't have it.
    """

    name: str
    bases: tuple[str, ...]
    part: str
    saved_as: str
    loader: str
    takes: tuple[str, ...] = ("source", "mask", "reward")
    whole: bool = True
    guidance: float | None = None
    reads_tokens: bool = False
    patch: int | None = None


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
    ),
    Family(
        name="flux-kontext",
        bases=("FluxKontextPipeline",),
        part="transformer",
        saved_as="FluxKontextPipeline",
        loader="editloop.models.backbones.flux_kontext:load_flux_kontext",
        takes=("source",),
        whole=False,
        guidance=2.5,
        reads_tokens=True,
        patch=2,
    ),
)
FAMILIES = {family.name: family for family in _ALL}


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
