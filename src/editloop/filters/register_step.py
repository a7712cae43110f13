"""The build step `register`: pairs whose target is displaced are repaired, or dropped."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from editloop.filters.registration import Registration, aligned_pair, displacement, register
from editloop.images.codec import decode, decode_mask, encode_png, resize
from editloop.kernel.sample_steps import Answer, SampleMap
from editloop.kernel.steps import Drop
from editloop.schema import EditSample, Image, Mask, Pixels, Provenance
from editloop.settings import Settings as BaseSettings

__all__ = ["RegisterSettings", "RegisterStep"]

_ASPECT = 0.01  # by which the ratio of the sides may differ
_LEFT = 0.5  # pixels of 512 that a repair may leave


class RegisterSettings(BaseSettings):
    """The repair of a displaced target, and what happens to pairs that cannot be measured."""

    repair: Literal["crop", "paste-back", "refuse"] = Field(
        default="crop",
        description="crop both to what they share, take the source's pixels outside of the mask "
        "from the source, or drop the pair",
    )
    unknown: Literal["keep", "drop"] = Field(
        default="keep", description="pairs with too little in common to be measured"
    )


class RegisterStep(SampleMap):
    """Align each target with its source; the amount is recorded in the provenance.

    A target of another aspect ratio, and a displacement that the repair does not mend to half a
    pixel of 512, are dropped with the amount.
    """

    Settings = RegisterSettings
    version = "2"
    needs = frozenset({"source", "target"})
    adds = frozenset({"provenance"})

    @property
    def name(self) -> str:
        """The kind's name."""
        return "register"

    def change(self, sample: EditSample) -> Answer:
        """Return the sample, aligned if it has to be, or Drop with the measured amount."""
        assert sample.target is not None
        source, target = decode(sample.source_image.bytes), decode(sample.target.bytes)
        mask = None if sample.mask is None else decode_mask(sample.mask.bytes)
        ratio = (target.shape[1] / target.shape[0]) / (source.shape[1] / source.shape[0])
        if abs(ratio - 1) > _ASPECT:
            return Drop("aspect", detail=f"the target's is {ratio:.3f} times the source's")
        target = resize(target, *source.shape[:2])
        found = register(source, target, mask)
        if not found.known and self.settings.unknown == "drop":
            return Drop("registration: too little in common to be measured")
        if not found.displaced:
            return sample
        code, amount = displacement(found)
        refused = self._refusal(sample)
        repaired = None if refused else self._repaired(sample, (source, target, mask), found)
        if repaired is None:
            return Drop(f"{code}, {refused or 'not mended'}", detail=amount)
        return repaired

    def _refusal(self, sample: EditSample) -> str:
        """Return why a displaced pair is not repaired; an empty string if it is."""
        if self.settings.repair == "refuse":
            return "refused"
        if self.settings.repair == "paste-back":
            return "no mask to paste back by" if sample.mask is None else ""
        return "" if sample.session is None else "a turn of a session is not cropped"

    def _repaired(
        self, sample: EditSample, pictures: tuple[Pixels, Pixels, Mask | None], found: Registration
    ) -> EditSample | None:
        """Return the repaired sample; None if it is still displaced."""
        source, target, mask = pictures
        cropped, moved, (left, top, right, bottom) = aligned_pair(source, target, found)
        rows, columns = slice(top, bottom), slice(left, right)
        if register(cropped, moved, None if mask is None else mask[rows, columns]).largest > _LEFT:
            return None
        made = replace(
            sample, provenance=_noted(sample.provenance, found, (left, top, right, bottom))
        )
        if self.settings.repair == "paste-back":
            assert mask is not None
            whole = source.copy()
            whole[rows, columns] = moved
            pasted = np.where((mask >= 128)[..., None], whole, source)
            return replace(made, target=Image(encode_png(pasted)))
        return replace(
            made,
            source=Image(encode_png(cropped)),
            target=Image(encode_png(moved)),
            mask=None if mask is None else Image(encode_png(mask[rows, columns])),
        )


def _noted(
    made: Provenance | None, found: Registration, crop: tuple[int, int, int, int]
) -> Provenance:
    made = made or Provenance("register", RegisterStep.version)
    note = {
        "shift": [round(found.shift_x, 3), round(found.shift_y, 3)],
        "scale": [round(found.scale_x, 5), round(found.scale_y, 5)],
        "crop": list(crop),
    }
    return replace(made, parameters={**made.parameters, "registration": note})
