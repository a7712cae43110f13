"""CLIP similarities of pictures and captions (Radford et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from editloop.errors import UnavailableError
from editloop.metrics.cosines import MissingInput, cosine, scored, unit
from editloop.metrics.embeddings import Embeddings
from editloop.metrics.encoders import ImageModel, LongTexts, Precision, missing
from editloop.metrics.geometry import blackened, region_of, resized_to
from editloop.metrics.views import Values
from editloop.schema import EditedPair, Pixels, Score, Unscored
from editloop.settings import Settings as BaseSettings

__all__ = ["VERSION", "ClipMetric"]

VERSION = "2"

_Vectors: TypeAlias = Iterator[NDArray[np.float32]]

# The fields of a pair that each measure reads, besides a reference and the mask.
_NEEDS = {
    "image": {"edited"},
    "text": {"edited", "captions"},
    "text_source": {"source", "captions"},
    "direction": {"source", "edited", "captions"},
}


@dataclass(frozen=True, slots=True, eq=False)
class _ToEmbed:
    """The inputs to embed for one score: two in all, or two pictures and two texts."""

    pictures: tuple[Pixels, ...]
    texts: tuple[str, ...]


class ClipMetric:
    """A CLIP similarity, `clip:NAME`: a cosine in [-1, 1].

    - `image`: the edited picture and the target (or source): CLIP-I.
    - `text`: the edited picture and the target caption: CLIP-T.
    - `text_source`: the source picture and the source caption.
    - `direction`: the change of the picture and the change of the caption, both as differences of
      embeddings of length 1, as in InstructPix2Pix's and UltraEdit's released code (Gal et al.
      2022, equation 2). If nothing changed it is undefined, and unscored.

    A pair with a missing caption, or one that is too long for the model, is unscored: captions are
    never truncated. `region: inside` first makes the area outside the mask black (PIE-Bench's
    edited region).
    """

    class Settings(BaseSettings):
        """The similarity, the model, the region and the preprocessing."""

        target: Literal["image", "text", "text_source", "direction"] = Field(
            description="which similarity"
        )
        model: str = Field(
            default="openai/clip-vit-base-patch32", description="a CLIP model: hub name or folder"
        )
        against: Literal["target", "source"] = Field(
            default="target", description="`image`: the picture compared with the edited one"
        )
        region: Literal["whole", "inside"] = Field(
            default="whole", description="the whole picture, or the region with the rest black"
        )
        precision: Precision = Field(
            default="fp32", description="precision of weights and computation"
        )
        crop: Literal["centre", "none"] = Field(
            default="centre",
            description="the release's own resize and crop, or the whole picture (InstructPix2Pix)",
        )
        values: Values = Field(
            default="unit",
            description="range before normalising: 0 to 1, or -1 to 1 (InstructPix2Pix's released "
            "evaluation)",
        )
        long_texts: LongTexts = Field(
            default="unscored",
            description="captions that are longer than the model reads: unscored, or cut as "
            "InstructPix2Pix and UltraEdit do",
        )

    def __init__(self, settings: ClipMetric.Settings) -> None:
        self._settings = settings
        self._model = ImageModel(
            settings.model,
            "clip",
            settings.precision,
            settings.crop,
            settings.values,
            settings.long_texts,
        )
        self._embeddings = Embeddings()
        inside = settings.region == "inside"
        self.name = f"clip_{settings.target}" + ("_inside" if inside else "")
        self.version = VERSION
        self.weights = (settings.model,)
        other = {settings.against} if settings.target == "image" else set()
        self.needs = frozenset(_NEEDS[settings.target] | other | ({"mask"} if inside else set()))

    def missing(self) -> UnavailableError | None:
        """Return an error that names the missing weights, or None; loads nothing."""
        return missing([self._model])

    @property
    def work(self) -> float:
        """The work of encoding a picture, to compare metrics by."""
        return self._model.work

    def use(self, embeddings: Embeddings) -> None:
        """Use a shared embedding store, so that each input is encoded once."""
        self._embeddings = embeddings

    def measure(self, batch: Sequence[EditedPair]) -> list[Score | Unscored]:
        """Return the similarity of each pair, in order."""
        return self.begin(batch)()

    def begin(self, batch: Sequence[EditedPair]) -> Callable[[], list[Score | Unscored]]:
        """Return a function that returns the scores; the pictures may be freed before."""
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
        """Return the inputs to embed for a pair, or why it has no score."""
        target = self._settings.target
        before, after = pair.captions.source or "", pair.captions.target or ""
        if target == "image":
            reference = pair.source if self._settings.against == "source" else pair.target
            if reference is None:
                return MissingInput("the case has no target")
            return self._placed(pair, (pair.edited, reference), ())
        if target != "text" and not before:
            return MissingInput("the case has no source caption")
        if target != "text_source" and not after:
            return MissingInput("the case has no target caption")
        pictures, texts = {
            "text": ((pair.edited,), (after,)),
            "text_source": ((pair.source,), (before,)),
            "direction": ((pair.source, pair.edited), (before, after)),
        }[target]
        return self._placed(pair, pictures, texts)

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
        """Replace items with a text that is too long for the model by the reason."""
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
    """Return scores; `counts` holds each one's numbers of next embeddings, or a reason."""
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
    """Return the similarity of two embeddings or of two changes, or why there is none."""
    if len(pictures) + len(texts) == 2:
        return cosine(*pictures, *texts)
    for (before, after), things in ((pictures, "pictures"), (texts, "captions")):
        if np.array_equal(unit(before), unit(after)):
            return f"the two {things} have the same embedding: the change has no direction"
    return cosine(unit(pictures[1]) - unit(pictures[0]), unit(texts[1]) - unit(texts[0]))
