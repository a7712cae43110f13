"""Editors by a trained diffusion model: a picture and an instruction, guided by both.

Brooks et al., "InstructPix2Pix" (2023, section 3.2.1); with a mask's latents beside the source's,
Zhao et al., "UltraEdit" (2024, appendix A.4), where a white mask means everywhere; with rewards,
Gu et al., "Multi-Reward as Condition" (2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image
from pydantic import Field
from rich.console import Console
from rich.markup import escape

from editloop.editors.asking import Acceleration, Reward, Steps
from editloop.editors.checkpoint_loading import checkpoint_digest, load_checkpoint
from editloop.editors.checkpoints import Checkpoint, read_checkpoint
from editloop.editors.encoded_inputs import Shown
from editloop.editors.geometry import Size, Sizing, fitted
from editloop.editors.pipelines import PipelineEditor, PipelineSettings, SizedRequest, stepped
from editloop.editors.rewarding import check_rewards, rewards_for
from editloop.editors.schedulers import SchedulerName, scheduler_like
from editloop.errors import RecipeError, UnavailableError
from editloop.models.backbones.model import DiffusionModel
from editloop.models.backbones.sampling import denoised
from editloop.models.guidance import branches
from editloop.models.inputs import EditInputs
from editloop.storage.records import fingerprint

__all__ = ["InstructEditor", "InstructSettings"]

_OF_THE_MACHINE = {"target", "compile"}  # what an answer doesn't depend on but for rounding


class InstructSettings(PipelineSettings):
    """A checkpoint, and how it is asked."""

    steps: Steps = Field(default=20, description="denoising steps")
    text_guidance: float = Field(default=7.5, ge=1, description="guidance scale of the instruction")
    image_guidance: float = Field(default=1.5, ge=1, description="guidance scale of the picture")
    guidance: float | None = Field(
        default=None, ge=0, description="scale that a distilled network is told; its usual if open"
    )
    scheduler: SchedulerName = Field(default="default", description="sampler; default: its own")
    batch: int = Field(default=1, ge=1, description="pictures edited at once")
    config: str = Field(
        default="timbrooks/instruct-pix2pix",
        description="where the target is one original file: what describes its networks",
    )
    reward: Reward | None = Field(default=None, description="scores that the edit should get")
    reward_text: str | None = Field(default=None, description="words that the edit should get")
    compile: bool = Field(default=False, description="whether the network is compiled first")
    acceleration: Acceleration = Field(
        default="none",
        description="lossy: reused-guidance weighs the branches at about every second step only",
    )


class InstructEditor(PipelineEditor[InstructSettings]):
    """Edits with a diffusion model; equal to the plain pipeline, where there is one, for a seed.

    A mask is heeded where the model takes one, and otherwise not used: see `uses_mask`. Pictures
    that come again, as with several instructions for one, are encoded once.
    """

    Settings = InstructSettings
    kind = "diffusion"
    version = "3"
    _told = False  # that it does not read an instruction to its end

    @property
    def uses_mask(self) -> bool:  # type: ignore[override]
        """Whether the network sees the mask."""
        return self._checkpoint.takes_mask

    def missing(self) -> UnavailableError | None:
        """Why the editor cannot run here, if so; looks, and loads nothing."""
        try:
            self._checkpoint  # noqa: B018
        except UnavailableError as error:
            return error
        return None

    @cached_property
    def fingerprint(self) -> str:
        """From the weights and what was set, since a protocol stands in for what was not."""
        settings = self._settings.model_dump(
            mode="json", exclude=_OF_THE_MACHINE, exclude_unset=True
        )
        return fingerprint(
            {
                "kind": self.kind,
                "version": self.version,
                "files": checkpoint_digest(self._checkpoint),
                "settings": settings,
            }
        )

    def batch(self, settings: InstructSettings) -> int:
        return settings.batch

    def load(self, folder: Path) -> DiffusionModel:  # noqa: ARG002
        """The model, from the folder or, where the weights are one file, from that."""
        settings = self._settings
        check_rewards(self._checkpoint.reward, settings.reward, settings.reward_text, self.name)
        model = load_checkpoint(self._checkpoint, settings.precision)
        if settings.compile:
            model.network.compile()
        return model

    def working_size(
        self, pipeline: DiffusionModel, height: int, width: int, settings: InstructSettings
    ) -> Size:
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
        self._tell_of_cuts(model, words)
        inputs = EditInputs(
            source=self._shown.pictures([job.image for job in jobs]), text=model.texts.ids(words)
        )
        if self._checkpoint.takes_mask:
            inputs = inputs.with_({"mask": self._shown.masks([job.mask for job in jobs])})
        return inputs.with_(rewards_for(model, settings.reward, settings.reward_text, len(jobs)))

    def _tell_of_cuts(self, model: DiffusionModel, words: Sequence[str]) -> None:
        """Say it, once, where the model does not read an instruction to its end."""
        cut = next((text for text in words if model.texts.cuts(text)), None)
        if cut is not None and not self._told:
            self._told = True
            console = Console(stderr=True, soft_wrap=True, highlight=False)
            console.print(escape(f"{self.name} reads only the beginning of: {cut}"))

    def _native(self, model: DiffusionModel) -> int:
        """The side in pixels that the model was trained at."""
        if self._checkpoint.size is not None:
            return self._checkpoint.size
        latents: int = model.network.config.get("sample_size", 128)  # FLUX says nothing: 1,024 px
        return latents * model.autoencoder.factor

    @cached_property
    def _checkpoint(self) -> Checkpoint:
        return read_checkpoint(self._settings.target, self._settings.config)

    @cached_property
    def _shown(self) -> Shown:
        return Shown(self._pipeline)

    @cached_property
    def _pipeline(self) -> DiffusionModel:
        return self.load(self._checkpoint.folder)
