"""The families of models that can be trained to edit, and how each is found in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from editloop.errors import RecipeError
from editloop.models.pipeline_loading import model_index

__all__ = ["FAMILIES", "Family", "family_of", "pipeline_class_of"]


@dataclass(frozen=True, slots=True)
class Family:
    """`bases` are the pipelines it starts from, the first of them diffusers' own; `part` is the
    network in them that is trained, `saved_as` the pipeline it becomes; `loader` is a function's
    `module:name`, imported when asked.

    `takes` names the conditions there can be; `whole` says whether it can be trained other than by
    LoRA. `guidance` is the scale that a distilled network is told when it edits. `reads_tokens`
    says that a source is further tokens, not further channels; `patch` is the side in latents of a
    token, where the network's configuration doesn't say.
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
    """The class of the pipeline in a folder, by its index."""
    return str(model_index(folder).get("_class_name"))


def family_of(folder: Path) -> Family:
    """The family of the pipeline in a folder; RecipeError where none of it can be trained."""
    name = pipeline_class_of(folder)
    for family in _ALL:
        if name in family.bases:
            return family
    known = ", ".join(base for family in _ALL for base in family.bases)
    raise RecipeError(
        f"a base that cannot be trained to edit here: {name}", value=folder, fix=f"known: {known}"
    )
