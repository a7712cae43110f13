"""Defects of an edited picture with known truth, each measured separately.

Each function returns {defect: severity}: 0 is not noticeable, 1 or more is ruined. A perspective's
score comes from its worst defect. The constants follow from the meaning of each defect and were
fixed before any trained model was judged: `_RAMPS` holds the measured amount from which a defect is
noticeable, and the amount at which it ruins the picture. Light is measured in levels of 0-255.
"""

from __future__ import annotations

import numpy as np

from editloop.darkroom.evidence import Evidence
from editloop.darkroom.measures import Floats, cells, contrast, correlation, grid_steps
from editloop.darkroom.octaves import Octaves, energy, mix, strange
from editloop.darkroom.progress import Course

__all__ = ["following_defects", "preserving_defects", "quality_defects"]

_FINE = 0.25  # weight of details against colours: at a distance details show half as much
_ASTRAY = 0.1  # colours this far off the line from source to target are not the edit,
_APART = 0.3  # and neither are details whose progress differs this much from the colours'
_CLEARLY = 1.15  # factor from which an amplitude clearly exceeds another
_MASKING = 40.0  # levels; details of this amplitude halve the visibility of artefacts
_SMOOTH = 4.0  # levels squared; below this energy there are no details to lose
_COARSE = 8  # cells along the shorter side, for colours that should not change
_LAYOUT = 24  # cells along the shorter side, for recognising the photo

_RAMPS: dict[str, tuple[float, float]] = {
    "unrecognisable": (0.85, 0.6),  # correlation with the known pictures
    "shift": (0.0, 0.05 * 2**0.5),  # share of the side
    "zoom": (0.0, 0.25),  # change of the factor
    "colours": (2.0, 21.0),  # levels, root mean square over cells
    "lost": (0.15, 0.75),  # share of the details' amplitude outside
    "blur": (0.15, 0.75),  # the same, inside
    "artefacts": (1.0, 7.0),  # levels, root mean square of unexplained details
    "halo": (6.0, 55.0),  # levels, the rim's mean minus the rest's
    "blocks": (1.0, 3.8),  # levels, steps at the borders of blocks minus those within
    "banding": (4.0, 28.0),  # the factor by which the number of used levels dropped
    "empty": (0.3, 0.05),  # contrast, as a share of the known pictures'
}


def _graded(**amounts: float) -> dict[str, float]:
    """Return severities, linear in the measured amounts: 0 where noticeable, 1 where ruined."""
    return {
        defect: max(0.0, (amount - _RAMPS[defect][0]) / (_RAMPS[defect][1] - _RAMPS[defect][0]))
        for defect, amount in amounts.items()
    }


def following_defects(seen: Evidence, went: Course) -> dict[str, float]:
    """Return the inside's remaining distance to the target, relative to that of the source.

        r^2 = ((left - u)_+ + w (1 - fine_done)_+^2 fine) / (way - u + w fine)

    with u the invisible energy and w the weight of details. Details count only along the direction
    to the target: deviations across it belong to quality. A copy has r = 1, half strength 0.5. The
    defect's name depends on what contributes most to r.
    """
    fine = _FINE * went.fine
    missing = max(0.0, 1 - went.fine_done) ** 2 * fine
    square = (max(0.0, went.left - went.unseen) + missing) / (went.way - went.unseen + fine)
    name = "wrong" if went.astray > abs(1 - went.done) else "partly"
    if went.done < 0.25 and went.fine_done < 0.25:
        name = "undone"
    return {name: square**0.5, **_graded(unrecognisable=_likeness(seen, went))}


def _likeness(seen: Evidence, went: Course) -> float:
    """Return the edited picture's highest coarse correlation with source, target or their mix.

    The sign is ignored: a negative still shows the photo.
    """
    source, target, edited = (cells(light, _LAYOUT) for light in seen.lights)
    mixed = _between(source, target, went)
    return max(abs(correlation(edited, known)) for known in (source, target, mixed))


def _between(source: Floats, target: Floats, went: Course) -> Floats:
    """Return the blend of source and target at the edit's overall progress."""
    return source + np.float32(went.overall) * (target - source)


def preserving_defects(seen: Evidence, went: Course) -> dict[str, float]:
    """Measure unwanted changes: layout everywhere, colours and details outside the mask.

    Without an outside (a global edit or a style), colours and details may change, but the layout
    must be preserved: no shift, no zoom, and the photo still recognisable.
    """
    motion = seen.motion
    moved = _graded(shift=float(np.hypot(motion.right, motion.down)), zoom=abs(motion.zoom - 1))
    if seen.whole:
        return {**moved, **_graded(unrecognisable=_likeness(seen, went))}
    known = (*seen.details[:2], mix(*seen.details[:2], went.kept))
    before = min(energy(image, seen.outside) for image in known)
    lost = _lost(before, energy(seen.details.edited, seen.outside))
    return {**moved, **_graded(colours=_changed(seen), lost=lost)}


def _changed(seen: Evidence) -> float:
    """Return the colour change outside: root mean square of the cells' mean changes, in levels."""
    change = (seen.looks.edited - seen.looks.source) * seen.small_outside[..., None]
    share = cells(seen.small_outside, _COARSE)
    means = np.abs(cells(change, _COARSE)).mean(-1) / np.maximum(share, 1e-3)
    square = float((share * means**2).sum()) / max(float(share.sum()), 1e-6)
    return float(square**0.5)


def _lost(before: float, after: float) -> float:
    """Return the lost share of the details' amplitude."""
    return 1 - (after / before) ** 0.5 if before > _SMOOTH else 0.0


def quality_defects(seen: Evidence, went: Course) -> dict[str, float]:
    """Measure artefacts: details, rims and levels not explained by source, target or their mix.

    A copy and a half-strength edit thus have no defect. A loss of details counts only beyond the
    loss of contrast of a darker or paler look.
    """
    source, target, edited = seen.details
    between = mix(source, target, went.kept)
    lights = (*seen.lights[:2], _between(*seen.lights[:2], went))
    least = min(energy(image, seen.inside) for image in (source, target, between))
    paler = min(1.0, contrast(seen.lights.edited, lights, seen.inside))
    defects = _graded(
        artefacts=_artefacts(seen, went, between),
        blur=_lost(paler**2 * least, energy(edited, seen.inside)),
        blocks=grid_steps(seen.lights.edited - lights[2]),
        banding=min(seen.levels[:2]) / seen.levels.edited,
        empty=contrast(seen.lights.edited, lights, np.ones_like(seen.inside)),
    )
    return {**defects, **_graded(halo=_rim_light(seen))} if seen.rim.any() else defects


def _artefacts(seen: Evidence, went: Course, between: Octaves) -> float:
    """Return the amplitude of unexplained details, inside or outside, reduced by masking.

    If the inside shows something other than the edit, such as a wrong texture, only the amplitude
    that clearly exceeds that of all known pictures counts there.
    """
    source, target, edited = seen.details
    odd = strange(edited, (source, target), between, seen.inside) ** 0.5
    if went.astray > _ASTRAY or abs(went.done - went.fine_done) > _APART:
        most = max(energy(image, seen.inside) for image in (source, target, between))
        has = energy(edited, seen.inside)
        odd = min(odd, max(0.0, has**0.5 - _CLEARLY * most**0.5))
    shown = _unmasked(odd, energy(between, seen.inside))
    if seen.whole:
        return shown
    odd = strange(edited, (between,), between, seen.outside) ** 0.5
    return max(shown, _unmasked(odd, energy(between, seen.outside)))


def _unmasked(odd: float, details: float) -> float:
    """Return the visible amplitude of artefacts among details of a given energy."""
    return float(odd / (1 + details**0.5 / _MASKING))


def _rim_light(seen: Evidence) -> float:
    """Return the change in brightness of the rim around the mask, relative to the rest outside."""
    change = seen.lights.edited - seen.lights.source
    rim, rest = (
        float((change * region).sum() / max(float(region.sum()), 1.0))
        for region in (seen.rim, seen.outside)
    )
    return abs(rim - rest)
