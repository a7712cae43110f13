"""Reading masks: whatever a file holds becomes the region where editing is allowed.

By default (`MaskReading()`):

- all black allows editing nowhere; all white allows it everywhere;
- a picture with transparency allows it where it is transparent (MagicBrush, the images API);
- two values, one of them 0, allow it where the value is not 0: labels, palettes, one colour on
  black, 1, 8 and 16 bits;
- greys and a colour's shades, noisy as from JPEG or soft, allow it where they are at least half
  light.

Anything else has no certain meaning and raises an `ImageError` with one of these codes
(`MASK_CODES`), whose fix names the rules:

    ambiguous-mask  several meanings are possible (two values without 0, three labels, a middle
                    grey, a photo)
    mask-rule       the rule does not fit the picture, such as `opaque` without transparency
    turned-mask     its photo is turned by EXIF, and the mask fits it both turned and unturned

`codec.decode_mask` is the interface, and `mask_levels.py` decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import eq

import numpy as np
from pydantic import Field, field_validator

from editloop.errors import ImageError, RecipeError
from editloop.images.normalise import turned
from editloop.images.shapes import same_shape
from editloop.schema import Mask
from editloop.settings import Settings

__all__ = [
    "BY_CONTENT",
    "MASK_CODES",
    "NOWHERE",
    "MaskReading",
    "MaskSettings",
    "beside",
    "is_nowhere",
    "mask_reading",
]

MASK_CODES = frozenset({"ambiguous-mask", "mask-rule", "turned-mask"})
NOWHERE = "the mask is all black: it allows editing nowhere"

_RULE = re.compile(r"nonzero|white|opaque|index:\d{1,5}")


@dataclass(frozen=True, slots=True)
class MaskReading:
    """The rule by which masks are read; without one, by what the file holds.

    rule: `nonzero` (values, or a palette's indices, other than 0), `white` (at least half light),
    `opaque` (at least half opaque) or `index:N` (this value or index) is where editing is allowed;
    `invert` swaps the result.
    """

    rule: str | None = None
    invert: bool = False


BY_CONTENT = MaskReading()


def mask_reading(rule: str | None = None, *, invert: bool = False) -> MaskReading:
    """Return the reading by a rule's name; raise RecipeError for an unknown one."""
    if rule is not None and _RULE.fullmatch(rule) is None:
        raise RecipeError(
            "unknown mask rule", value=rule, fix="nonzero, white, opaque or index:N (0 to 65535)"
        )
    return MaskReading(rule, invert)


class MaskSettings(Settings):
    """Settings of what reads a user's masks."""

    mask_rule: str | None = Field(
        default=None,
        description="where masks allow editing: nonzero, white, opaque or index:N (default: by "
        "what each mask holds)",
    )
    invert_mask: bool = Field(default=False, description="swap where masks allow editing")

    @field_validator("mask_rule")
    @classmethod
    def _is_known(cls, rule: str | None) -> str | None:
        try:
            return mask_reading(rule).rule
        except RecipeError as error:
            raise ValueError(f"{error.cause}: {error.fix}") from None

    @property
    def mask_reading(self) -> MaskReading:
        """The reading of masks that these settings ask for."""
        return MaskReading(self.mask_rule, self.invert_mask)


def is_nowhere(mask: Mask | None) -> bool:
    """Return whether a mask allows editing nowhere; a missing one allows it everywhere."""
    return mask is not None and not mask.any()


def beside(mask: Mask, turn: int, stored: tuple[int, int]) -> Mask:
    """Return a mask turned with its photo, which has an EXIF orientation and (height, width).

    The mask is turned if it has the shape of the photo as it is stored, and left if it has that of
    the upright photo. Raises ImageError if it has both and turning would change it.
    """
    shape, upright = (mask.shape[0], mask.shape[1]), stored[::-1] if turn >= 5 else stored
    fits: Callable[..., bool] = eq if shape in (stored, upright) else same_shape
    if turn == 1 or not fits(shape, stored):
        return mask
    made = turned(mask, turn)
    if not fits(shape, upright) or np.array_equal(made, mask):
        return np.ascontiguousarray(made)
    raise ImageError(
        "turned-mask",
        "the photo is turned by its EXIF orientation, and it is unclear whether the mask is too",
        value=f"EXIF orientation {turn}, both {stored[1]} x {stored[0]}",
        fix="save the photo upright, without an EXIF orientation, and a mask that fits it",
    )
