"""Editors of the InstructPix2Pix family, by diffusers' own pipelines.

Brooks et al., "InstructPix2Pix" (2023): a picture and an instruction, guided by both (their
section 3.2.1). With a mask's latents beside the source's: Zhao et al., "UltraEdit" (2024, appendix
A.4), where a white mask means everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import Field, model_validator
from torch import Tensor

from editloop.editors.asking import Steps
from editloop.editors.checkpoints import Checkpoint, read_checkpoint
from editloop.editors.family import checkpoint_digest, load_checkpoint
from editloop.editors.pipelines import Job, PipelineEditor, PipelineSettings, pictures_of
from editloop.editors.schedulers import SchedulerName, scheduler_like
from editloop.errors import UnavailableError
from editloop.models.loading import quietly
from editloop.store import fingerprint

__all__ = ["InstructEditor", "InstructSettings"]


class InstructSettings(PipelineSettings):
    """A checkpoint, and how it is asked."""

    steps: Steps = Field(default=20, description="denoising steps")
    text_guidance: float = Field(default=7.5, ge=1, description="guidance scale of the instruction")
    image_guidance: float = Field(default=1.5, ge=1, description="guidance scale of the picture")
    scheduler: SchedulerName = Field(default="default", description="sampler; default: its own")
    batch: int = Field(default=1, ge=1, description="pictures edited at once")
    config: str = Field(
        default="timbrooks/instruct-pix2pix",
        description="where the target is one original file: what describes its networks",
    )

    @model_validator(mode="after")
    def _guides_by_both(self) -> InstructSettings:
        if self.text_guidance == 1 and self.image_guidance != 1:
            raise ValueError("text_guidance 1 turns all guidance off: set image_guidance 1 too")
        return self


class InstructEditor(PipelineEditor[InstructSettings]):
    """Edits with a checkpoint of the family; equal to the plain pipeline for a request's seed.

    A mask is heeded where the checkpoint takes one, and otherwise not used: see `uses_mask`.
    """

    Settings = InstructSettings
    kind = "diffusion"
    version = "1"

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
        settings = self._settings.model_dump(mode="json", exclude={"target"}, exclude_unset=True)
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

    def load(self, folder: Path) -> Any:  # noqa: ARG002
        """The pipeline, from the folder or, where the weights are one file, from that."""
        return load_checkpoint(self._checkpoint, self._settings.precision)

    def run(
        self, pipeline: Any, jobs: Sequence[Job], settings: InstructSettings
    ) -> list[Image.Image]:
        height, width = jobs[0].image.shape[:2]
        pipeline.scheduler = scheduler_like(settings.scheduler, self._own_scheduler)
        pictures = pipeline(
            prompt=[job.request.instruction for job in jobs],
            image=self._tensors(jobs),
            num_inference_steps=settings.steps,
            guidance_scale=settings.text_guidance,
            image_guidance_scale=settings.image_guidance,
            generator=[job.generator() for job in jobs],
            output_type="np",
            **({"height": height, "width": width} if self._checkpoint.xl else {}),
        ).images  # [batch, height, width, 3] in 0..1
        return pictures_of(pictures)

    def _tensors(self, jobs: Sequence[Job]) -> Tensor:
        """The pictures in 0..1, [batch, 3 or, with masks, 6, height, width]."""
        stacked = np.stack([job.image for job in jobs])
        if self._checkpoint.takes_mask:
            masks = np.stack([job.mask for job in jobs])[..., None].repeat(3, axis=-1)
            stacked = np.concatenate([stacked, masks], axis=-1)
        return torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 255

    @cached_property
    def _checkpoint(self) -> Checkpoint:
        return read_checkpoint(self._settings.target, self._settings.config)

    @cached_property
    def _own_scheduler(self) -> Any:
        return self._pipeline.scheduler

    @cached_property
    def _pipeline(self) -> Any:
        with quietly():
            return self.load(self._checkpoint.folder)
