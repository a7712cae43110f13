"""CLIP's similarities of pictures and captions (Radford et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from editloop.errors import UnavailableError
from editloop.metrics.cosines import cosine, scored, unit
from editloop.metrics.embeddings import Embeddings
from editloop.metrics.encoders import ImageModel, Precision, missing
from editloop.metrics.geometry import blackened, region_of, resized_to
from editloop.schema import EditedPair, Pixels, Score, Unscored
from editloop.settings import Settings as BaseSettings

__all__ = ["VERSION", "ClipMetric"]

VERSION = "1"

_Vectors: TypeAlias = Iterator[NDArray[np.float32]]

# What each measure reads of a pair, besides a reference and the mask.
_NEEDS = {
    "image": {"edited"},
    "text": {"edited", "captions"},
    "text_source": {"source", "captions"},
    "direction": {"source", "edited", "captions"},
}


@dataclass(frozen=True, slots=True, eq=False)
class _ToEmbed:
    """What must be embedded for one score: of two things, or before and after of two things."""

    pictures: tuple[Pixels, ...]
    texts: tuple[str, ...]


class ClipMetric:
    """One similarity by CLIP, `clip:NAME`, a cosine in [-1, 1].

    - `image`: the edited picture and the target (or source): CLIP-I.
    - `text`: the edited picture and the target caption: CLIP-T.
    - `text_source`: the source picture and the source caption.
    - `direction`: the change of the picture and the change of the caption, both as differences of
      embeddings of length 1, as InstructPix2Pix's and UltraEdit's released code takes them (Gal et
      al. 2022, equation 2). Where nothing changed it is undefined, and unscored.

    A caption that is absent, or longer than the model reads, is unscored: none is ever cut.
    `region: inside` blackens what lies outside the mask first (PIE-Bench's edited region).
    """

    class Settings(BaseSettings):
        """What is compared, by which model, and how."""

        target: Literal["image", "text", "text_source", "direction"] = Field(
            description="which similarity"
        )
        model: str = Field(
            default="openai/clip-vit-base-patch32", description="a CLIP: hub name or folder"
        )
        against: Literal["target", "source"] = Field(
            default="target", description="`image`: the picture compared with the edited one"
        )
        region: Literal["whole", "inside"] = Field(
            default="whole", description="the whole picture, or the rest of it black"
        )
        precision: Precision = Field(default="fp32", description="of the weights and the work")
        crop: Literal["centre", "none"] = Field(
            default="centre",
            description="the release's own resize and crop, or all of it (InstructPix2Pix)",
        )

    def __init__(self, settings: ClipMetric.Settings) -> None:
        self._settings = settings
        self._model = ImageModel(settings.model, "clip", settings.precision, settings.crop)
        self._embeddings = Embeddings()
        inside = settings.region == "inside"
        self.name = f"clip_{settings.target}" + ("_inside" if inside else "")
        self.version = VERSION
        self.weights = (settings.model,)
        other = {settings.against} if settings.target == "image" else set()
        self.needs = frozenset(_NEEDS[settings.target] | other | ({"mask"} if inside else set()))

    def missing(self) -> UnavailableError | None:
        """What is not on this machine of the weights, or None; nothing is loaded."""
        return missing([self._model])

    def use(self, embeddings: Embeddings) -> None:
        """Share a store, so that what other metrics encode is encoded once."""
        self._embeddings = embeddings

    def measure(self, batch: Sequence[EditedPair]) -> list[Score | Unscored]:
        """The similarity of each pair, in order."""
        return self.begin(batch)()

    def begin(self, batch: Sequence[EditedPair]) -> Callable[[], list[Score | Unscored]]:
        """What gives `measure` when it is called; the pictures are needed no more."""
        asked = self._read([self._asked(pair) for pair in batch])
        whole = [each for each in asked if isinstance(each, _ToEmbed)]
        pictures = [picture for each in whole for picture in each.pictures]
        texts = [text for each in whole for text in each.texts]
        images = self._embeddings.images_later(self._model, pictures)
        captions = self._embeddings.texts_later(self._model, texts)
        counts = [
            each if isinstance(each, str) else (len(each.pictures), len(each.texts))
            for each in asked
        ]
        return lambda: _scores(counts, iter(images()), iter(captions()))

    def _asked(self, pair: EditedPair) -> _ToEmbed | str:
        """What must be embedded of a pair, or why it has no score."""
        target = self._settings.target
        before, after = pair.captions.source or "", pair.captions.target or ""
        if target == "image":
            reference = pair.source if self._settings.against == "source" else pair.target
            if reference is None:
                return "the case has no target"
            return self._placed(pair, (pair.edited, reference), ())
        if target != "text" and not before:
            return "the case has no source caption"
        if target != "text_source" and not after:
            return "the case has no target caption"
        shown, said = {
            "text": ((pair.edited,), (after,)),
            "text_source": ((pair.source,), (before,)),
            "direction": ((pair.source, pair.edited), (before, after)),
        }[target]
        return self._placed(pair, shown, said)

    def _placed(
        self, pair: EditedPair, pictures: tuple[Pixels, ...], texts: tuple[str, ...]
    ) -> _ToEmbed | str:
        if self._settings.region == "whole" or pair.mask is None:
            return _ToEmbed(pictures, texts)
        seen = []
        for picture in pictures:
            sized = resized_to(picture, pair.mask.shape) if picture is pair.edited else picture
            region = region_of(pair.mask, "inside", sized.shape[:2])
            if isinstance(region, str):
                return region
            seen.append(blackened(sized, region))
        return _ToEmbed(tuple(seen), texts)

    def _read(self, asked: Sequence[_ToEmbed | str]) -> list[_ToEmbed | str]:
        """The same, where a text that the model cannot read whole gives the reason."""
        texts = {text for each in asked if isinstance(each, _ToEmbed) for text in each.texts}
        ordered = sorted(texts)
        refused = dict(zip(ordered, self._embeddings.refused(self._model, ordered), strict=True))
        return [
            each
            if isinstance(each, str)
            else next((reason for text in each.texts if (reason := refused[text])), each)
            for each in asked
        ]


def _scores(
    counts: Sequence[tuple[int, int] | str], images: _Vectors, captions: _Vectors
) -> list[Score | Unscored]:
    """The similarities, each from so many pictures and texts that come next; a text is why not."""
    values = [
        each
        if isinstance(each, str)
        else _value(
            [next(images) for _ in range(each[0])], [next(captions) for _ in range(each[1])]
        )
        for each in counts
    ]
    return [scored(value, VERSION) for value in values]


def _value(
    pictures: Sequence[NDArray[np.float32]], texts: Sequence[NDArray[np.float32]]
) -> float | str:
    """The similarity of two embeddings, or of two changes, or why there is none."""
    if len(pictures) + len(texts) == 2:
        return cosine(*pictures, *texts)
    for (before, after), things in ((pictures, "pictures"), (texts, "captions")):
        if np.array_equal(unit(before), unit(after)):
            return f"the two {things} have the same embedding: the change has no direction"
    return cosine(unit(pictures[1]) - unit(pictures[0]), unit(texts[1]) - unit(texts[0]))
