"""The step `inverse-edits`: add the inverse of each edit with an inverse instruction (HQ-Edit)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from editloop.kernel.steps import Keep, Outcome, StepContext
from editloop.schema import EditSample, Json
from editloop.settings import Settings as BaseSettings

__all__ = ["InverseEdits", "InverseEditsSettings"]


class InverseEditsSettings(BaseSettings):
    """No settings."""


class InverseEdits:
    """Add, for each edit with an inverse instruction, the edit from target to source as ID/inverse.

    The inverse keeps the mask and the object, but has no scores, edit type or session.
    """

    Settings = InverseEditsSettings
    name = "inverse-edits"
    version = "1"
    needs = frozenset({"source"})
    adds: frozenset[str] = frozenset()

    def __init__(self, settings: InverseEditsSettings) -> None:
        self._settings = settings

    @property
    def parameters(self) -> Mapping[str, Json]:
        return {}

    def setup(self, context: StepContext) -> None:
        pass

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        return [Keep((sample, *_inverse(sample))) for sample in batch]


def _inverse(sample: EditSample) -> tuple[EditSample, ...]:
    if sample.target is None or not (sample.inverse_instruction or "").strip():
        return ()
    inverse = replace(
        sample,
        id=f"{sample.id}/inverse",
        source=sample.target,
        target=sample.source,
        instruction=sample.inverse_instruction or "",
        inverse_instruction=sample.instruction,
        source_caption=sample.target_caption,
        target_caption=sample.source_caption,
        edit_type=None,
        session=None,
        turn=1,
        parent_id=None,
        scores={},
    )
    return (inverse,)
