"""Progress of the masked region from source to target, and its deviation from that direction."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from editloop.darkroom.evidence import Evidence, Three
from editloop.darkroom.measures import Floats, cells, progress

__all__ = ["Course", "follow"]

_UNSEEN = 4.0  # levels; a smaller difference of colour is invisible
_FORGIVEN = 0.08  # maximum share of an edit's energy that is ignored as invisible
_VISIBLE = 5.0  # levels; an edit that changes less than this cannot be judged
_CELLS = 12  # cells along the shorter side, for coarse colours


@dataclass(frozen=True, slots=True)
class Course:
    """Progress (0 at the source, 1 at the target) and energies (mean square levels per pixel and
    channel) of the masked region.

    `way`, `left`: energy of the cells' mean colours, from source to target and from edited to
    target. `fine`: energy of the details that the edit changes. `done`, `fine_done`: progress of
    colours and of details. `astray`: the colours' deviation from the line from source to target, as
    a share of its length.
    """

    way: float
    left: float
    fine: float
    done: float
    fine_done: float
    astray: float

    @property
    def overall(self) -> float:
        """The progress of colours and details together, clipped to 0..1."""
        both = self.way + self.fine + 1e-6
        share = (self.way * self.done + self.fine * self.fine_done) / both
        return min(1.0, max(0.0, share))

    @property
    def kept(self) -> float:
        """The progress of the details, clipped to 0..1."""
        return min(1.0, max(0.0, self.fine_done))

    @property
    def unseen(self) -> float:
        """The energy of an invisible difference of colours; smaller for faint edits."""
        return min(_UNSEEN**2, _FORGIVEN * self.way)

    @property
    def visible(self) -> bool:
        """Whether target and source differ visibly."""
        return self.way + self.fine >= _VISIBLE**2


def follow(seen: Evidence) -> Course:
    """Measure the progress of the inside: of its coarse colours, and of the remaining details."""
    weight = seen.small_inside
    share = cells(weight, _CELLS)
    over = share[..., None] / (3 * share.sum())
    source, target, edited = means = Three(*(_means(look, weight, share) for look in seen.looks))
    rests = [_rest(look, mean, weight) for look, mean in zip(seen.looks, means, strict=True)]
    way = float((over * (target - source) ** 2).sum())
    fine = float(((rests[1] - rests[0]) ** 2).sum() / (3 * weight.sum()))
    done = progress(source, target, edited, over)
    off = float((over * (edited - source - done * (target - source)) ** 2).sum())
    return Course(
        way=way,
        left=float((over * (target - edited) ** 2).sum()),
        fine=fine,
        done=done,
        fine_done=progress(rests[0], rests[1], rests[2]),
        astray=(max(0.0, off - _UNSEEN**2) / (way + fine + 1e-6)) ** 0.5,
    )


def _means(look: Floats, weight: Floats, share: Floats) -> Floats:
    """Return each cell's mean colours, weighted by `weight`."""
    total = cells(look * weight[..., None], _CELLS)
    return np.asarray(total / np.maximum(share, 1e-3)[..., None], np.float32)


def _rest(look: Floats, mean: Floats, weight: Floats) -> Floats:
    """Return the details of a look inside the mask: its difference from the cells' means."""
    return np.asarray((look - cv2.resize(mean, weight.shape[::-1])) * weight[..., None], np.float32)
