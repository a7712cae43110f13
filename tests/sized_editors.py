"""An editor with a working size that changes nothing, so that only its scaling shows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from editloop.editors.geometry import Size, Sizing, fitted
from editloop.editors.pipelines import PipelineEditor, PipelineSettings, SizedRequest
from editloop.schema import EditRequest, Pixels, Unedited

__all__ = ["Unchanging"]


class Unchanging(PipelineEditor[PipelineSettings]):
    """Returns the picture at its working size; records the requests that reach it."""

    Settings = PipelineSettings
    kind = "unchanging"
    version = "1"
    uses_mask = True
    fingerprint = "unchanging"  # no weights
    asked: ClassVar[list[EditRequest]] = []
    shown: ClassVar[list[SizedRequest]] = []

    def edit_unscaled(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        Unchanging.asked += requests
        return super().edit_unscaled(requests)

    def load(self, folder: Path) -> Any:
        return folder

    def working_size(
        self,
        pipeline: Any,  # noqa: ARG002
        height: int,
        width: int,
        settings: PipelineSettings,
    ) -> Size:
        return fitted(height, width, settings.size or Sizing(long_side=64, multiple=16))

    def run(
        self,
        pipeline: Any,  # noqa: ARG002
        jobs: Sequence[SizedRequest],
        settings: PipelineSettings,  # noqa: ARG002
    ) -> list[Image.Image]:
        Unchanging.shown += jobs
        return [job.picture for job in jobs]
