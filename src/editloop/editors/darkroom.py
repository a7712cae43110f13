"""The editor `darkroom`: replays a darkroom record if there is one, otherwise parses and edits."""

from __future__ import annotations

from collections.abc import Sequence

from editloop.darkroom.develop import GENERATOR, REVISION, replay
from editloop.darkroom.language.parsed_instruction import Unclear
from editloop.darkroom.language.parsing import parse
from editloop.darkroom.retouch import carry_out
from editloop.darkroom.scene import SMALLEST
from editloop.errors import InstructionError
from editloop.images.masks import NOWHERE, is_nowhere
from editloop.schema import EditRequest, Pixels, Provenance, Unedited
from editloop.settings import Settings as BaseSettings

__all__ = ["DarkroomEditor", "DarkroomEditorSettings"]

_SKILL = "1"  # bump when an instruction may be parsed or carried out differently


class DarkroomEditorSettings(BaseSettings):
    """The settings of this editor: none."""


class DarkroomEditor:
    """An editor without weights that works at full resolution and refuses unclear instructions.

    A request with a darkroom record in its provenance is answered with that record's true result,
    whatever its image and instruction: in a benchmark this editor is the upper bound. A mask that
    is all black is refused first.
    """

    Settings = DarkroomEditorSettings
    name = "darkroom"
    fingerprint = f"darkroom-{REVISION}-{_SKILL}"

    def __init__(self, settings: DarkroomEditorSettings) -> None:
        self._settings = settings

    def edit(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        """Return a picture for each request, or the reason why there is none."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: EditRequest) -> Pixels | Unedited:
        if is_nowhere(request.mask):
            return Unedited(NOWHERE)
        if request.provenance is not None and request.provenance.generator == GENERATOR:
            return _truth(request, request.provenance)
        if min(request.image.shape[:2]) < SMALLEST:
            return Unedited(f"the picture's short side is below {SMALLEST} pixels")
        try:
            asked = parse(request.instruction)
            return carry_out(request.image, asked, request.mask, request.seed)
        except InstructionError as error:
            return Unedited(f"{error.cause}; {error.fix}")
        except Unclear as reason:
            return Unedited(str(reason))


def _truth(request: EditRequest, record: Provenance) -> Pixels | Unedited:
    target = replay(record).target
    if target.shape != request.image.shape:
        return Unedited(f"the record's picture has another shape, {target.shape[1::-1]}")
    return target
