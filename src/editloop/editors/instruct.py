"""The editor of trained diffusion models, guided by both a picture and an instruction.

Brooks et al., "InstructPix2Pix" (2023, section 3.2.1). With a mask's latents as a further input:
Zhao et al., "UltraEdit" (2024, appendix A.4), where a white mask means everywhere. With rewards:
Gu et al., "Multi-Reward as Condition" (2025).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image
from pydantic import Field
from rich.console import Console

from editloop.editors import geometry
from editloop.editors.asking import Acceleration, Reward, Steps
from editloop.editors.checkpoint_loading import checkpoint_digest, load_checkpoint
from editloop.editors.checkpoints import Checkpoint, read_checkpoint
from editloop.editors.effects import check_effects
from editloop.editors.encoded_inputs import Shown
from editloop.editors.geometry import Size, Sizing, fitted, nearest_in_shape
from editloop.editors.pipelines import PipelineEditor, PipelineSettings, SizedRequest, stepped
from editloop.editors.rewarding import check_rewards
from editloop.editors.schedulers import SchedulerName, scheduler_like
from editloop.errors import RecipeError, UnavailableError
from editloop.models.backbones.families import SIZES_FACTOR, EditingDefaults
from editloop.models.backbones.model import DiffusionModel
from editloop.models.backbones.rewarding import rewards_for
from editloop.models.backbones.sampling import denoised
from editloop.models.guidance import branches
from editloop.models.inputs import EditInputs
from editloop.schema import Json
from editloop.showing.terminal import escape
from editloop.storage.records import fingerprint

__all__ = ["InstructEditor", "InstructSettings"]

_DEFAULTS = EditingDefaults()
_OF_THE_FAMILY = ("steps", "text_guidance", "image_guidance", "guidance", "scheduler")
_OF_THE_MACHINE = {"target", "compile"}  # these change an answer by rounding errors at most


class InstructSettings(PipelineSettings):
    """A checkpoint and its editing settings; the editor sets what is left out by its family."""

    steps: Steps = Field(default=_DEFAULTS.steps, description="denoising steps")
    text_guidance: float = Field(
        default=_DEFAULTS.text_guidance, ge=1, description="guidance scale of the instruction"
    )
    image_guidance: float = Field(
        default=_DEFAULTS.image_guidance, ge=1, description="guidance scale of the picture"
    )
    guidance: float | None = Field(
        default=None, ge=0, description="guidance input of a distilled network; default: its own"
    )
    scheduler: SchedulerName = Field(default="default", description="sampler; default: its own")
    batch: int = Field(default=1, ge=1, description="pictures edited at once")
    config: str = Field(
        default="timbrooks/instruct-pix2pix",
        description="for an original file: the folder or hub name that describes its networks",
    )
    reward: Reward | None = Field(default=None, description="scores that the edit should get")
    reward_text: str | None = Field(default=None, description="reward text the edit should get")
    compile: bool = Field(default=False, description="whether the network is compiled first")
    acceleration: Acceleration = Field(
        default="none",
        description="lossy: reused-guidance computes the guidance at about every second step only",
    )


class InstructEditor(PipelineEditor[InstructSettings]):
    """An editor with a diffusion model; for a seed, equal to the plain pipeline if there is one.

    A mask is used only if the model takes one (see `uses_mask`). A picture that occurs repeatedly,
    as with several instructions for it, is encoded once.
    """

    Settings = InstructSettings
    kind = "diffusion"
    version = "4"
    _warned = False  # about a truncated instruction

    @property
    def family(self) -> str:
        """The name of the checkpoint's family, of which it gets its defaults."""
        return self._checkpoint.family.name

    @property
    def defaults(self) -> Mapping[str, Json]:
        """The settings of the checkpoint's family."""
        family = self._checkpoint.family.editing
        return {name: getattr(family, name) for name in _OF_THE_FAMILY}

    @property
    def uses_mask(self) -> bool:  # type: ignore[override]
        """True if the network takes the mask."""
        return self._checkpoint.takes_mask

    def missing(self) -> UnavailableError | None:
        """Return why the editor cannot run on this machine, or None; loads no weights."""
        try:
            self._checkpoint  # noqa: B018
        except UnavailableError as error:
            return error
        return None

    @cached_property
    def fingerprint(self) -> str:
        """The digest of the weights and the settings given; a protocol may set the others."""
        settings = self._settings.model_dump(
            mode="json", exclude=_OF_THE_MACHINE, exclude_unset=True
        )
        return fingerprint(
            {
                "kind": self.kind,
                "version": self.version,
                "sizing": geometry.VERSION,
                "files": checkpoint_digest(self._checkpoint),
                "settings": settings,
            }
        )

    def batch(self, settings: InstructSettings) -> int:
        return settings.batch

    def load(self, folder: Path) -> DiffusionModel:  # noqa: ARG002
        """Load the model of the checkpoint: from its folder, or from its original file."""
        model = load_checkpoint(self._checkpoint, self._settings.precision)
        if self._settings.compile:
            model.network.compile()
        return model

    def working_size(
        self, pipeline: DiffusionModel, height: int, width: int, settings: InstructSettings
    ) -> Size:
        sizes = self._checkpoint.family.editing.sizes
        if settings.size is None and sizes and self._checkpoint.size is None:
            high, wide = nearest_in_shape(height, width, sizes)
            factor = pipeline.autoencoder.factor
            return high * factor // SIZES_FACTOR, wide * factor // SIZES_FACTOR
        sizing = settings.size or Sizing(long_side=self._native(pipeline), multiple=64)
        return fitted(height, width, stepped(sizing, pipeline.multiple))

    def run(
        self, pipeline: DiffusionModel, jobs: Sequence[SizedRequest], settings: InstructSettings
    ) -> list[Image.Image]:
        with torch.inference_mode():
            latents = denoised(
                pipeline,
                self._inputs(pipeline, jobs, settings),
                [job.generator() for job in jobs],
                scheduler=scheduler_like(settings.scheduler, pipeline.scheduler),
                steps=settings.steps,
                chosen=branches(settings.text_guidance, settings.image_guidance),
                guidance=settings.guidance,
                reuse_guidance=settings.acceleration == "reused-guidance",
            )
            if not latents.isfinite().all():
                raise RecipeError(
                    "the network's values overflow",
                    fix="write precision=fp32, or lower the guidance scales",
                )
            return [Image.fromarray(each) for each in pipeline.decode(latents)]

    def _inputs(
        self, model: DiffusionModel, jobs: Sequence[SizedRequest], settings: InstructSettings
    ) -> EditInputs:
        words = [job.request.instruction for job in jobs]
        self._warn_of_truncation(model, words)
        inputs = EditInputs(
            source=self._shown.pictures([job.image for job in jobs]), text=model.texts.ids(words)
        )
        if self._checkpoint.takes_mask:
            inputs = inputs.with_({"mask": self._shown.masks([job.mask for job in jobs])})
        return inputs.with_(rewards_for(model, len(jobs), settings.reward, settings.reward_text))

    def _warn_of_truncation(self, model: DiffusionModel, words: Sequence[str]) -> None:
        """Print a warning, once, if an instruction is too long for the model."""
        cut = next((text for text in words if model.texts.kept(text) < len(text)), None)
        if cut is not None and not self._warned:
            self._warned = True
            console = Console(stderr=True, soft_wrap=True, highlight=False)
            console.print(escape(f"{self.name} reads only the beginning of: {cut}"))

    def _native(self, model: DiffusionModel) -> int:
        """Return the side in pixels that the model was trained at."""
        if self._checkpoint.size is not None:
            return self._checkpoint.size
        own: int = model.network.config["sample_size"] * model.autoencoder.factor
        return min(own, self._checkpoint.family.editing.largest or own)

    @cached_property
    def _checkpoint(self) -> Checkpoint:
        settings = self._settings
        found = read_checkpoint(settings.target, settings.config)
        check_rewards(found, settings.reward, settings.reward_text)
        check_effects(found, settings)
        return found

    @cached_property
    def _shown(self) -> Shown:
        return Shown(self._pipeline)

    @cached_property
    def _pipeline(self) -> DiffusionModel:
        return self.load(self._checkpoint.folder)
