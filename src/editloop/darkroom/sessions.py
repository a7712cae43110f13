"""Sessions: sequences of visible edits, each starting from the previous edit's picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from editloop.darkroom.develop import Rendered, develop
from editloop.darkroom.plans import PlannedTurn, draw_turn
from editloop.darkroom.scene import Darkroom, Scene
from editloop.runtime.seeding import generator

__all__ = ["VISIBLE", "draw_session", "shows"]

VISIBLE = 6.0  # minimum mean absolute change inside the mask, in 0..255
_TRIES = 12


def shows(rendered: Rendered) -> bool:
    """Return whether an edit is visible; vivid over black and white, for example, is not."""
    inside = rendered.mask > 0
    if not inside.any():
        return False
    change = np.abs(rendered.source.astype(np.int16) - rendered.target)[inside]
    return float(change.mean()) >= VISIBLE


def draw_session(
    darkroom: Darkroom, names: Sequence[str], turns: int, seed: int
) -> list[tuple[PlannedTurn, Rendered]]:
    """Draw a sequence of up to `turns` edits without repeated operations; one turn: a single edit.

    It is shorter only if the named operations allow no further visible edit on this photo.
    """
    session: list[tuple[PlannedTurn, Rendered]] = []
    while len(session) < turns:
        done = {turn.edit.operation for turn, _ in session}
        left = [name for name in names if name not in done]
        scene = session[-1][0].after if session else None
        found = _visible(darkroom, left, scene, seed, len(session))
        if found is None:
            break
        session.append(found)
    return session


def _visible(
    darkroom: Darkroom, names: Sequence[str], scene: Scene | None, seed: int, number: int
) -> tuple[PlannedTurn, Rendered] | None:
    for attempt in range(_TRIES):
        turn = draw_turn(generator(seed, "plan", number, attempt), names, scene)
        if turn is not None:
            rendered = develop(darkroom, turn)
            if shows(rendered):
                return turn, rendered
    return None
