"""The build step `mend`: a data set without the defects that lint found."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import Field

from editloop.errors import RecipeError
from editloop.filters.register_step import RegisterStep
from editloop.images.codec import content_hash, decode, decode_mask, encode_png, resize
from editloop.kernel.sample_steps import Answer, GroupStep
from editloop.kernel.steps import Drop
from editloop.schema import EditSample, Image, Json
from editloop.settings import Settings as BaseSettings

__all__ = ["MendSettings", "MendStep"]

_EARLIER = "an earlier turn of its session was dropped"


class MendSettings(BaseSettings):
    """The findings of `editloop lint`."""

    findings: Path = Field(description="a lint.json of the same data set")


class MendStep(GroupStep):
    """Repair each sample as its findings say; one that cannot be repaired is dropped by its code.

    After a dropped turn the rest of its session is dropped too, as no session may have a gap.
    """

    Settings = MendSettings
    needs = frozenset({"source"})

    @property
    def name(self) -> str:
        """The kind's name."""
        return "mend"

    @property
    def parameters(self) -> Mapping[str, Json]:
        """The hash of the findings."""
        return {"findings": content_hash(self._content)}

    def group(self, sample: EditSample) -> str:
        """Return the session, or a single edit's id."""
        return f"session {sample.session}" if sample.session else f"edit {sample.id}"

    def answer(self, samples: Sequence[EditSample]) -> Sequence[Answer]:
        """Return each turn as repaired, or why it is dropped."""
        made: dict[str, Answer] = {}
        broken = False
        for sample in sorted(samples, key=lambda each: each.turn):
            made[sample.id] = Drop(_EARLIER) if broken else self._mended(sample)
            broken = broken or isinstance(made[sample.id], Drop)
        return [made[sample.id] for sample in samples]

    def _mended(self, sample: EditSample) -> Answer:
        found = self._findings.get(sample.id, [])
        for each in found:
            if each["repair"] == "drop":
                return Drop(each["code"], detail=each["message"])
        repairs = {each["repair"] for each in found}
        for repair, mend in _REPAIRS.items():
            if repair in repairs:
                sample = mend(sample)
        return RegisterStep().change(sample) if "align" in repairs else sample

    @cached_property
    def _content(self) -> bytes:
        path = self.settings.findings.expanduser()
        try:
            content: bytes = path.read_bytes()
        except OSError as error:
            raise RecipeError(
                "lint's findings cannot be read", value=path, fix=str(error.strerror)
            ) from error
        return content

    @cached_property
    def _findings(self) -> dict[str, list[dict[str, str]]]:
        found: dict[str, list[dict[str, str]]] = defaultdict(list)
        for each in json.loads(self._content)["findings"]:
            found[each["id"]].append(each)
        return dict(found)


def _without_mask(sample: EditSample) -> EditSample:
    return replace(sample, mask=None)


def _with_inverted_mask(sample: EditSample) -> EditSample:
    assert sample.mask is not None
    return replace(sample, mask=Image(encode_png(255 - decode_mask(sample.mask.bytes))))


def _without_captions(sample: EditSample) -> EditSample:
    return replace(sample, source_caption=None, target_caption=None)


def _swapped(sample: EditSample) -> EditSample:
    return replace(sample, source=sample.target, target=sample.source)


def _pasted_back(sample: EditSample) -> EditSample:
    """Return the sample with the source's pixels in the target where the mask allows no edit."""
    assert sample.target is not None
    assert sample.mask is not None
    source = decode(sample.source_image.bytes)
    target = resize(decode(sample.target.bytes), *source.shape[:2])
    mask = resize(decode_mask(sample.mask.bytes), *source.shape[:2])
    pasted = np.where((mask >= 128)[..., None], target, source)
    return replace(sample, target=Image(encode_png(pasted)))


# In the order in which they are made; `drop` and `align` are the step's own.
_REPAIRS: Mapping[str, Callable[[EditSample], EditSample]] = {
    "swap": _swapped,
    "drop-mask": _without_mask,
    "invert-mask": _with_inverted_mask,
    "paste-back": _pasted_back,
    "drop-captions": _without_captions,
}
