"""The editing settings that each editor of a protocol uses, and why.

A card's settings hold for the families of models that they were published for: 100 steps at 512 px
are InstructPix2Pix's, and would not show what another editor can do. Other editors use their own
defaults, except for a setting that the protocol sweeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from editloop.errors import RecipeError
from editloop.evaluation.protocol.card import EDITING, Protocol
from editloop.evaluation.protocol.seats import Seat
from editloop.schema import Editor, Json

__all__ = ["SeatEditing", "editing_of"]

_TOLD = sorted({*EDITING, "guidance"})


@dataclass(frozen=True, slots=True)
class SeatEditing:
    """The settings of the card that reach an editor, and the facts for `results.json`.

    `facts` has the editor's `family`, whether it uses its `own` settings in place of the card's,
    `why`, and each of its `settings` with its `value` and where it comes `from`: the SPEC, the card
    or the editor's default. It is empty for an editor without settings.
    """

    asked: Mapping[str, Json] = field(default_factory=dict)
    facts: Mapping[str, Json] = field(default_factory=dict)


def editing_of(protocol: Protocol, seat: Seat, editor: Editor) -> SeatEditing:
    """Return the settings of an editor by a protocol.

    An editor's `family` says whether the card's are for it; `settled` returns its settings by them.
    Raises RecipeError for an editor without the setting that the protocol sweeps.
    """
    family, settled = getattr(editor, "family", None), getattr(editor, "settled", None)
    is_meant = not protocol.editing_for or family in protocol.editing_for
    swept = {} if protocol.sweep is None else {protocol.sweep.setting: seat.value}
    asked = {**seat.editing} if is_meant else swept
    if settled is None:
        return SeatEditing(asked)
    values = settled(asked).model_dump(mode="json")
    if protocol.sweep is not None and values.get(protocol.sweep.setting) != seat.value:
        raise RecipeError(
            f"this protocol sweeps {protocol.sweep.setting}, which this editor does not take",
            value=seat.editor,
            fix="leave the editor out, or evaluate it by another protocol",
        )
    own = seat.spec.settings
    settings = {
        name: {
            "value": values[name],
            "from": "SPEC" if name in own else "card" if name in asked else "default",
        }
        for name in _TOLD
        if name in values
    }
    why = _why(protocol, family, is_meant=is_meant)
    return SeatEditing(
        asked, {"family": family, "own": not is_meant, "why": why, "settings": settings}
    )


def _why(protocol: Protocol, family: str | None, *, is_meant: bool) -> str:
    if not protocol.editing:
        return "the card sets none"
    if not protocol.editing_for:
        return "the card sets them for every editor"
    named = ", ".join(protocol.editing_for)
    return (
        f"the card's are for {named}" if is_meant else f"the card's are for {named}, not {family}"
    )
