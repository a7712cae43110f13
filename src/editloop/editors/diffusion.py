"""The editor `diffusion`: a trained model given by its folder, hub name or file.

A folder with a pocket model's `editloop.json` is a pocket model made by `editloop run`. Anything
else is a model that `models.backbones` supports: published, or trained from one with EditLoop. A
run folder stands for the only model in it. Omitted settings get the defaults of the model's family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from editloop.editors.asking import ORIGINAL, Acceleration, Precision, Reward, Steps
from editloop.editors.geometry import Sizing
from editloop.editors.schedulers import SchedulerName
from editloop.errors import UnavailableError
from editloop.hub import weights
from editloop.schema import EditRequest, Json, Pixels, Unedited
from editloop.settings import Settings as BaseSettings
from editloop.settings import validate

if TYPE_CHECKING:
    from editloop.editors.instruct import InstructEditor
    from editloop.editors.pocket import PocketEditor

__all__ = ["DiffusionEditor", "DiffusionSettings"]


class DiffusionSettings(BaseSettings):
    """A model and its editing settings; a setting that the model's kind lacks is an error.

    Settings given here take precedence over a protocol's, and those over the family's defaults.
    """

    target: str = Field(
        description="a model's folder or that of the run with it, a hub name, or an original "
        ".safetensors/.ckpt file"
    )
    steps: Steps | None = Field(
        default=None,
        description="denoising steps; left out, 20, SD3 50, FLUX Kontext 28, pocket models 1",
    )
    text_guidance: float | None = Field(
        default=None,
        description="guidance scale of the instruction; left out, 7.5, or 1 for FLUX Kontext and "
        "pocket models",
    )
    image_guidance: float | None = Field(
        default=None,
        description="guidance scale of the picture; left out, 1.5, or 1 for FLUX Kontext and "
        "pocket models",
    )
    batch: int | None = Field(
        default=None,
        ge=1,
        description="pictures edited at once; left out, 1, or 16 for a pocket model",
    )
    scheduler: SchedulerName | None = Field(
        default=None, description="sampler; left out, the checkpoint's own"
    )
    precision: Precision | None = Field(
        default=None, description="dtype of the networks; left out, fp32"
    )
    size: Sizing | None = Field(
        default=None,
        description="the size to work at, such as long_side:512,multiple:64; left out, the "
        "model's own",
    )
    config: str | None = Field(
        default=None,
        description="for an original file: the folder or hub name that describes its networks; "
        "left out, timbrooks/instruct-pix2pix",
    )
    reward: Reward | None = Field(
        default=None,
        description="models with rewards: following, preserving, quality, each 0 to 5, or none; "
        "left out, 5,5,5",
    )
    reward_text: str | None = Field(
        default=None, description="models with rewards: reward words; left out, no complaints"
    )
    guidance: float | None = Field(
        default=None, description="guidance input of a distilled network (FLUX); left out, 2.5"
    )
    compile: bool | None = Field(
        default=None, description="whether the network is compiled first; left out, no"
    )
    acceleration: Acceleration | None = Field(
        default=None,
        description="lossy: reused-guidance computes the guidance at about every second step only; "
        "left out, none",
    )


class DiffusionEditor:
    """An editor with a diffusion model; its weights are loaded at the first request."""

    Settings = DiffusionSettings

    def __init__(self, settings: DiffusionSettings) -> None:
        self._settings = settings

    @property
    def name(self) -> str:
        return f"diffusion:{self._settings.target}"

    @property
    def fingerprint(self) -> str:
        """The digest of the model's files and the settings, but not of the files' location."""
        return self._editor.fingerprint

    @property
    def family(self) -> str:
        """The model's family: `pocket`, or a name of `models.backbones.families`."""
        return self._editor.family

    def settled(self, card: Mapping[str, Json]) -> BaseSettings:
        """Return the settings of an edit by a protocol's editing settings."""
        return self._editor.settled(card)

    @property
    def uses_mask(self) -> bool:
        """True if the network takes a request's mask; otherwise the mask is not used."""
        return self._editor.uses_mask

    @property
    def weights(self) -> tuple[str, ...]:
        """The names of the published weights that it loads."""
        return (self._target,)

    def missing(self) -> UnavailableError | None:
        """Return why the editor cannot run on this machine, or None; loads no weights."""
        try:
            return self._editor.missing()
        except UnavailableError as error:
            return error

    def edit(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        """Return an edit of each request, in the size of its image."""
        return self._editor.edit(requests) if requests else []

    def edit_unscaled(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        """Return an edit of each request, in the working size; see `UnscaledEditor`."""
        return self._editor.edit_unscaled(requests) if requests else []

    def scaled_back(self, edited: Pixels, request: EditRequest) -> Pixels:
        """Return a result of `edit_unscaled` at the size of a request's image."""
        return self._editor.scaled_back(edited, request)

    @cached_property
    def _target(self) -> str:
        """The model's name; for a run folder, the folder of the only model in it."""
        from editloop.models.finding import model_in

        found = model_in(Path(self._settings.target).expanduser())
        return self._settings.target if found is None else str(found)

    @cached_property
    def _editor(self) -> PocketEditor | InstructEditor:
        from editloop.editors.instruct import InstructEditor, InstructSettings
        from editloop.editors.pocket import PocketEditor, PocketEditorSettings
        from editloop.models.backbones.base_loading import is_trained_here
        from editloop.models.saving import INDEX

        target = Path(self._target).expanduser()
        own = self._settings.model_dump(exclude_unset=True, exclude_none=True)
        own["target"] = self._target
        if target.is_dir() and is_trained_here(target):
            return InstructEditor(validate(InstructSettings, own, where=self.name))
        if (target / INDEX).is_file():
            return PocketEditor(validate(PocketEditorSettings, own, where=self.name))
        if _awaits_training(target):
            missing = "" if target.exists() else "there is no such folder, and so "
            raise UnavailableError(
                f"{missing}no trained model here (it would hold {INDEX} or model_index.json)",
                value=target,
                command="editloop run RECIPE --only build --only train",
            )
        return InstructEditor(validate(InstructSettings, own, where=self.name))


def _awaits_training(target: Path) -> bool:
    """Return whether a name without a model means a folder that a training would fill.

    A run folder's `models/NAME` looks like a hub's `owner/name`, and so does `runs/mine`.
    """
    if target.exists():
        return target.is_dir() and not (target / "model_index.json").is_file()
    if target.suffix in ORIGINAL:
        return False
    if target.is_absolute() or len(target.parts) != 2 or target.parts[0] == "models":
        return True
    return target.parent.is_dir() and weights.stamp(str(target)) is None
