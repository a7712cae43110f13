"""What can be wrong with an edited picture whose truth is known, measured one defect at a time.

Each function answers {defect: severity}: 0 is not noticeable, 1 or more is ruined. A perspective's
worst defect makes its score. The constants were fixed from what each defect means, before any
trained model was looked at: `_RAMPS` says from which measured amount a defect is noticeable, and
at which it ruins the picture. Amounts of light are in levels of 0-255.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from editloop.darkroom.evidence import Evidence
from editloop.darkroom.measures import (
    Floats,
    cells,
    contrast,
    correlation,
    grid_steps,
    progress,
)
from editloop.darkroom.octaves import Octaves, energy, mix, octaves, strange

__all__ = ["Course", "course", "following_defects", "preserving_defects", "quality_defects"]

_CELLS = 12  # along the shorter side: "from afar", for following
_COARSE = 8  # the same, for colours that should not change
_UNSEEN = 4.0  # a difference of colour below this is not seen
_VISIBLE = 5.0  # an edit that changes less than this cannot be judged
_ASTRAY = 0.1  # colours this far off the way to the target show something else than the edit
_MASKING = 40.0  # levels; details of this amplitude halve how much artefacts show
_SMOOTH = 4.0  # energy below which there are no details to lose, levels squared

_RAMPS: dict[str, tuple[float, float]] = {
    "unrecognisable": (0.85, 0.6),  # correlation with the known pictures
    "shift": (0.0, 0.05 * 2**0.5),  # share of the side
    "zoom": (0.0, 0.25),  # change of the factor
    "colours": (2.0, 21.0),  # levels, root mean square over cells
    "blur": (0.15, 0.75),  # share of the details lost
    "artefacts": (1.0, 8.0),  # levels, root mean square of details that nothing explains
    "halo": (6.0, 55.0),  # levels, the rim's mean against the rest
    "blocks": (1.0, 3.8),  # levels, steps at the borders of blocks above those within
    "banding": (4.0, 28.0),  # the factor by which the levels in use became fewer
    "empty": (0.3, 0.05),  # contrast against the known pictures
}


def _severity(defect: str, amount: float) -> float:
    """A straight line from 0 where the defect gets noticeable to 1 where it ruins the picture."""
    noticed, ruined = _RAMPS[defect]
    return max(0.0, (amount - noticed) / (ruined - noticed))


@dataclass(frozen=True, slots=True)
class Course:
    """Where the inside of the mask went on the way from source to target; energies a channel.

    `way`, `left`: of the cells' mean colours, from source to target and from edited to target.
    `fine`: of the details that the edit changes. `done`, `fine_done`: progress of colours and of
    details, 0 at the source, 1 at the target. `astray`: how far the colours are off that way, as
    a share of it.
    """

    way: float
    left: float
    fine: float
    done: float
    fine_done: float
    astray: float

    @property
    def overall(self) -> float:
        """The progress of colours and details together, held between 0 and 1."""
        both = self.way + self.fine + 1e-6
        share = (self.way * self.done + self.fine * self.fine_done) / both
        return min(1.0, max(0.0, share))

    @property
    def visible(self) -> bool:
        """Whether the target can be told from the source at all."""
        return self.way + self.fine >= _VISIBLE**2


def course(seen: Evidence) -> Course:
    """Follow the inside of the mask, from afar (cells' means) and in what the cells leave."""
    weight = seen.small_inside
    share = cells(weight, _CELLS)
    looks = (seen.source, seen.target, seen.edited)
    means = [_cell_means(look, weight, share) for look in looks]
    rests = [
        (look - cv2.resize(mean, weight.shape[::-1])) * weight[..., None]
        for look, mean in zip(looks, means, strict=True)
    ]
    over = share[..., None] / (3 * share.sum())
    source, target, edited = means
    way = float((over * (target - source) ** 2).sum())
    fine = float(((rests[1] - rests[0]) ** 2).sum() / (3 * weight.sum()))
    done = progress(*means, over)
    off = float((over * (edited - source - done * (target - source)) ** 2).sum())
    return Course(
        way=way,
        left=float((over * (target - edited) ** 2).sum()),
        fine=fine,
        done=done,
        fine_done=progress(*rests),
        astray=(max(0.0, off - _UNSEEN**2) / (way + fine + 1e-6)) ** 0.5,
    )


def _cell_means(look: Floats, weight: Floats, share: Floats) -> Floats:
    """Mean colours over the part of each cell that has weight."""
    return cells(look * weight[..., None], _CELLS) / np.maximum(share, 1e-3)[..., None]


def following_defects(seen: Evidence, went: Course) -> dict[str, float]:
    """How far the inside still is from the target, as a share of the way from source to target.

        r^2 = ((left - u^2)_+ + (1 - fine_done)_+^2 fine) / ((way - u^2)_+ + fine)

    with u the difference that is not seen. Details count along the way to the target only: what
    lies across it is the quality's business. A copy has r = 1, half strength 0.5. The defect is
    named by what most of r is.
    """
    missing = max(0.0, 1 - went.fine_done) ** 2 * went.fine
    square = (max(0.0, went.left - _UNSEEN**2) + missing) / (
        max(0.0, went.way - _UNSEEN**2) + went.fine
    )
    name = "wrong" if went.astray > abs(1 - went.done) else "partly"
    return {
        "undone" if went.done < 0.25 and went.fine_done < 0.25 else name: square**0.5,
        "unrecognisable": _severity("unrecognisable", _likeness(seen, went)),
    }


def _likeness(seen: Evidence, went: Course) -> float:
    """The edited picture's highest correlation with source, target and their mix, from afar."""
    source, target, edited = (
        cells(light, 2 * _CELLS)
        for light in (seen.source_light, seen.target_light, seen.edited_light)
    )
    mixed = source + np.float32(went.overall) * (target - source)
    return max(abs(correlation(edited, known)) for known in (source, target, mixed))


def preserving_defects(seen: Evidence, went: Course) -> dict[str, float]:
    """What changed that should not: layout everywhere, colours and details outside the mask.

    Without an outside (a global edit or a style), colours and details are the edit's own, and what
    must stay is the layout: nothing moved, nothing enlarged, the photo still recognisable.
    """
    motion = seen.motion
    defects = {
        "shift": _severity("shift", float(np.hypot(motion.right, motion.down))),
        "zoom": _severity("zoom", abs(motion.zoom - 1)),
    }
    if seen.whole:
        return {**defects, "unrecognisable": _severity("unrecognisable", _likeness(seen, went))}
    share = cells(seen.small_outside, _COARSE)
    changed = (seen.edited - seen.source) * seen.small_outside[..., None]
    means = np.abs(cells(changed, _COARSE)).mean(-1) / np.maximum(share, 1e-3)
    colours = float((share * means**2).sum() / share.sum()) ** 0.5
    *known, after = (energy(image, seen.outside) for image in _details(seen, went))
    return {
        **defects,
        "colours": _severity("colours", colours),
        "lost": _severity("blur", _lost(min(known), after)),
    }


def _lost(before: float, after: float) -> float:
    """The share of the details' amplitude that is gone."""
    return 1 - (after / before) ** 0.5 if before > _SMOOTH else 0.0


def quality_defects(seen: Evidence, went: Course) -> dict[str, float]:
    """Artefacts: details, rims and levels that neither source, target nor a mix of them explains.

    A copy and a half-strength edit are thus fine. Where the inside shows something else altogether,
    as when the edit was done with a wrong colour, only the energy in excess of the known pictures'
    counts there.
    """
    source, target, between, edited = _details(seen, went)
    *known, has = (energy(image, seen.inside) for image in (source, target, between, edited))
    odd = strange(edited, (source, target), between, seen.inside)
    if went.astray > _ASTRAY:
        odd = min(odd, max(0.0, has - max(known)))
    shown = odd**0.5 / (1 + known[2] ** 0.5 / _MASKING)
    if not seen.whole:
        around = energy(between, seen.outside) ** 0.5
        odd = strange(edited, (source, target), between, seen.outside)
        shown = max(shown, odd**0.5 / (1 + around / _MASKING))
    plain = seen.source_light + np.float32(went.overall) * (seen.target_light - seen.source_light)
    defects = {
        "artefacts": _severity("artefacts", shown),
        "blur": _severity("blur", _lost(min(known), has)),
        "blocks": _severity("blocks", grid_steps(seen.edited_light - plain)),
        "banding": _severity("banding", min(seen.levels[:2]) / seen.levels[2]),
        "empty": _severity(
            "empty", contrast(seen.edited_light, seen.source_light, seen.target_light, plain)
        ),
    }
    if seen.rim.any():
        defects["halo"] = _severity("halo", _rim_light(seen))
    return defects


def _details(seen: Evidence, went: Course) -> tuple[Octaves, Octaves, Octaves, Octaves]:
    """The details of source, target, their mix that is as far as the edit went, and edited."""
    source, target, edited = (
        octaves(light) for light in (seen.source_light, seen.target_light, seen.edited_light)
    )
    return source, target, mix(source, target, went.overall), edited


def _rim_light(seen: Evidence) -> float:
    """How much brighter or darker the rim around the mask became than the rest outside."""
    change = seen.edited_light - seen.source_light
    rim, rest = (
        float((change * region).sum() / max(float(region.sum()), 1.0))
        for region in (seen.rim, seen.outside)
    )
    return abs(rim - rest)
