"""What can be wrong with an edited picture whose truth is known, measured one defect at a time.

Each function answers {defect: severity}: 0 is not noticeable, 1 or more is ruined. A perspective's
worst defect makes its score. The constants come from what each defect means and were fixed before
any trained model was judged: `_RAMPS` says from which measured amount a defect is noticeable, and
at which it ruins the picture. Amounts of light are in levels of 0-255.
"""

from __future__ import annotations

import numpy as np

from editloop.darkroom.evidence import Evidence
from editloop.darkroom.measures import Floats, cells, contrast, correlation, grid_steps
from editloop.darkroom.octaves import Octaves, energy, mix, strange
from editloop.darkroom.progress import Course

__all__ = ["following_defects", "preserving_defects", "quality_defects"]

_FINE = 0.25  # what details count against colours: from afar they show half as much
_ASTRAY = 0.1  # colours this far off the way to the target show something else than the edit,
_APART = 0.3  # and so do details whose progress is this far from the colours'
_CLEARLY = 1.15  # factor from which an amplitude is in excess of another
_MASKING = 40.0  # levels; details of this amplitude halve how much artefacts show
_SMOOTH = 4.0  # levels squared; with less energy there are no details to lose
_COARSE = 8  # cells along the shorter side, for colours that should not change
_LAYOUT = 24  # cells along the shorter side, to recognise a photo by

_RAMPS: dict[str, tuple[float, float]] = {
    "unrecognisable": (0.85, 0.6),  # correlation with the known pictures
    "shift": (0.0, 0.05 * 2**0.5),  # share of the side
    "zoom": (0.0, 0.25),  # change of the factor
    "colours": (2.0, 21.0),  # levels, root mean square over cells
    "lost": (0.15, 0.75),  # share of the details' amplitude outside
    "blur": (0.15, 0.75),  # the same, inside
    "artefacts": (1.0, 7.0),  # levels, root mean square of details that nothing explains
    "halo": (6.0, 55.0),  # levels, the rim's mean against the rest
    "blocks": (1.0, 3.8),  # levels, steps at the borders of blocks above those within
    "banding": (4.0, 28.0),  # the factor by which the levels in use became fewer
    "empty": (0.3, 0.05),  # contrast, as a share of the known pictures'
}


def _graded(**amounts: float) -> dict[str, float]:
    """Severities of measured amounts: 0 where noticeable, 1 where ruined, on a straight line."""
    return {
        defect: max(0.0, (amount - _RAMPS[defect][0]) / (_RAMPS[defect][1] - _RAMPS[defect][0]))
        for defect, amount in amounts.items()
    }


def following_defects(seen: Evidence, went: Course) -> dict[str, float]:
    """How far the inside still is from the target, as a share of the way from source to target.

        r^2 = ((left - u)_+ + w (1 - fine_done)_+^2 fine) / (way - u + w fine)

    with u the energy that is not seen and w what details count. Details count along the way to
    the target only: what lies across it is the quality's business. A copy has r = 1, half strength
    0.5. The defect is named by what most of r is.
    """
    fine = _FINE * went.fine
    missing = max(0.0, 1 - went.fine_done) ** 2 * fine
    square = (max(0.0, went.left - went.unseen) + missing) / (went.way - went.unseen + fine)
    name = "wrong" if went.astray > abs(1 - went.done) else "partly"
    if went.done < 0.25 and went.fine_done < 0.25:
        name = "undone"
    return {name: square**0.5, **_graded(unrecognisable=_likeness(seen, went))}


def _likeness(seen: Evidence, went: Course) -> float:
    """The edited picture's highest correlation with source, target and their mix, from afar.

    Its sign does not count: a negative is still the photo.
    """
    source, target, edited = (cells(light, _LAYOUT) for light in seen.lights)
    mixed = _between(source, target, went)
    return max(abs(correlation(edited, known)) for known in (source, target, mixed))


def _between(source: Floats, target: Floats, went: Course) -> Floats:
    """The blend of source and target that is as far as the edit went."""
    return source + np.float32(went.overall) * (target - source)


def preserving_defects(seen: Evidence, went: Course) -> dict[str, float]:
    """What changed that should not: layout everywhere, colours and details outside the mask.

    Without an outside (a global edit or a style), colours and details are the edit's own, and what
    must stay is the layout: nothing moved, nothing enlarged, the photo still recognisable.
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
    """How much colours changed outside: root mean square of the cells' mean changes, in levels."""
    change = (seen.looks.edited - seen.looks.source) * seen.small_outside[..., None]
    share = cells(seen.small_outside, _COARSE)
    means = np.abs(cells(change, _COARSE)).mean(-1) / np.maximum(share, 1e-3)
    square = float((share * means**2).sum()) / max(float(share.sum()), 1e-6)
    return float(square**0.5)


def _lost(before: float, after: float) -> float:
    """The share of the details' amplitude that is gone."""
    return 1 - (after / before) ** 0.5 if before > _SMOOTH else 0.0


def quality_defects(seen: Evidence, went: Course) -> dict[str, float]:
    """Artefacts: details, rims and levels that neither source, target nor a mix of them explains.

    A copy and a half-strength edit are thus fine. A loss of details counts beyond the loss of
    contrast that comes with a darker or paler look.
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
    """The amplitude of unexplained details, inside or outside, less where details mask them.

    Where the inside shows something else than the edit, as when it was done with a wrong texture,
    only the amplitude in clear excess of all known pictures' counts there.
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
    """What shows of an amplitude of artefacts among details of some energy."""
    return float(odd / (1 + details**0.5 / _MASKING))


def _rim_light(seen: Evidence) -> float:
    """How much brighter or darker the rim around the mask became than the rest outside."""
    change = seen.lights.edited - seen.lights.source
    rim, rest = (
        float((change * region).sum() / max(float(region.sum()), 1.0))
        for region in (seen.rim, seen.outside)
    )
    return abs(rim - rest)
