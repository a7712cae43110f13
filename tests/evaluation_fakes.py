"""A tiny world for evaluation tests: edits that add light inside a mask, and editors that know it.

The record of each case (`provenance.parameters["light"]`) says how much light the edit adds.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from editloop.errors import UnavailableError
from editloop.images.codec import encode_png
from editloop.runtime.seeding import generator
from editloop.schema import (
    PERSPECTIVES,
    EditedPair,
    EditRequest,
    EditSample,
    EditType,
    Image,
    Pixels,
    Provenance,
    Score,
    Unedited,
    Verdict,
)
from editloop.settings import Settings

SIZE = 32
PHOTOS = ("chelsea", "coffee")
TYPES = (EditType.LOCAL, EditType.GLOBAL, EditType.STYLE)


def photo(name: str) -> Pixels:
    rng = generator("photo", name)
    ramp = np.linspace(40, 120, SIZE)[:, None, None] + np.linspace(0, 40, SIZE)[None, :, None]
    return (ramp + rng.uniform(-20, 20, (SIZE, SIZE, 3))).astype(np.uint8)


def region(edit_type: EditType) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[8:24, 8:24] = 255
    return mask if edit_type is EditType.LOCAL else np.full_like(mask, 255)


def lighten(image: Pixels, mask: np.ndarray, light: int) -> Pixels:
    brighter = np.clip(image.astype(int) + light, 0, 255).astype(np.uint8)
    return np.where(mask[..., None] > 0, brighter, image)


def sample(name: str, index: int, source: Pixels, **changes: object) -> EditSample:
    edit_type = TYPES[index % len(TYPES)]
    mask, light = region(edit_type), 20 + 5 * (index % 4)
    where = PHOTOS[index % len(PHOTOS)]
    fields = {
        "source": Image(encode_png(source)),
        "target": Image(encode_png(lighten(source, mask, light))),
        "mask": Image(encode_png(mask)),
        "instruction": f"add {light} of light",
        "edit_type": edit_type,
        "scores": {each: Score(5.0, True, "None") for each in PERSPECTIVES},
        "provenance": Provenance(
            "tests", "1", seed=index, parameters={"light": light}, source_uri=f"photos:{where}"
        ),
    }
    return EditSample(id=name, **{**fields, **changes})


def single_edits(count: int) -> Iterator[EditSample]:
    for index in range(count):
        yield sample(f"photos/heldout/{index:04d}/0", index, photo(f"single-{index}"))


def sessions(count: int, turns: int = 3) -> Iterator[EditSample]:
    for index in range(count):
        name, image = f"photos/heldout/9{index:03d}/0", photo(f"session-{index}")
        for turn in range(1, turns + 1):
            made = sample(f"{name}/{turn}", index + turn, image, session=name, turn=turn)
            mask = region(made.edit_type or EditType.GLOBAL)
            image = lighten(image, mask, made.provenance.parameters["light"])
            yield made


class Fake:
    """What the fake editors share: a count of the requests that they were asked."""

    asked: ClassVar[list[EditRequest]] = []

    class Settings(Settings):
        share: float = 1.0

    def __init__(self, settings: "Fake.Settings") -> None:
        self.share = settings.share
        self.name = type(self).__name__.lower()
        self.fingerprint = f"{self.name}-{self.share}"

    def edit(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        Fake.asked.extend(requests)
        return [self.one(request) for request in requests]

    def one(self, request: EditRequest) -> Pixels | Unedited:
        raise NotImplementedError


class Still(Fake):
    """Does nothing."""

    def one(self, request: EditRequest) -> Pixels | Unedited:
        return request.image


class Light(Fake):
    """Adds a share of the light that the record asks for, inside the mask or everywhere."""

    def one(self, request: EditRequest) -> Pixels | Unedited:
        mask = request.mask
        inside = np.full(request.image.shape[:2], 255, np.uint8) if mask is None else mask
        light = round(self.share * request.provenance.parameters["light"])
        return lighten(request.image, inside, light)


class Choosy(Light):
    """Edits globally only; what is local it leaves, with its reason."""

    def one(self, request: EditRequest) -> Pixels | Unedited:
        if request.provenance.seed % len(TYPES) == 0:
            return Unedited("it does not edit locally")
        return super().one(request)


class Cropping(Fake):
    """Breaks the contract: its pictures are smaller."""

    def one(self, request: EditRequest) -> Pixels | Unedited:
        return request.image[1:]


class Forgetful(Still):
    """Breaks the contract: it leaves the last request without an answer."""

    def edit(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        return super().edit(requests)[:-1]


class Tired(Still):
    """Is stopped once, as by Ctrl-C, at its sixth request."""

    stopped: ClassVar[bool] = False

    def one(self, request: EditRequest) -> Pixels | Unedited:
        if len(Fake.asked) >= 6 and not Tired.stopped:
            Tired.stopped = True
            raise KeyboardInterrupt
        return super().one(request)

    def edit(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        return [super(Tired, self).edit([request])[0] for request in requests]


class Model(Still):
    """Says which folder it would be loaded from."""

    class Settings(Settings):
        target: str

    def __init__(self, settings: "Model.Settings") -> None:
        self.name = self.fingerprint = settings.target


class Absent(Fake):
    """Its weights are not on this machine."""

    def __init__(self, settings: "Fake.Settings") -> None:
        raise UnavailableError(f"{settings.share} weights are absent", command="get the-weights")


class FakeJudge:
    """Follows: near the target inside; preserves: near it outside; quality: always good."""

    name = "fake"
    version = "1"
    perspectives = PERSPECTIVES

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        return [self._one(pair) for pair in batch]

    def _one(self, pair: EditedPair) -> Verdict:
        error = np.abs(pair.edited.astype(float) - pair.target).mean(axis=2)
        inside = error[pair.mask > 0].mean()
        outside = error[pair.mask == 0].mean() if (pair.mask == 0).any() else 0.0
        return {
            "following": Score(max(0.0, 5 - inside / 5), bool(inside < 5), f"off by {inside:.0f}"),
            "preserving": Score(max(0.0, 5 - outside / 5), bool(outside < 5), "None"),
            "quality": Score(5.0, True, "None"),
        }
