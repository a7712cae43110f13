"""The editor `images`: an image model behind a server of OpenAI's images API."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, field_validator

from editloop.chat.images import (
    ImageAnswer,
    ImageClient,
    ImageQuestion,
    ImageSettings,
    mask_picture,
)
from editloop.chat.messages import Failed, Picture
from editloop.chat.usage import ChatUsage
from editloop.editors.framing import MULTIPLE, VERSION, Frame, frame_for
from editloop.editors.geometry import Size, resized
from editloop.editors.records import Edited
from editloop.errors import FailureClass
from editloop.images.codec import content_hash
from editloop.images.masks import NOWHERE, is_nowhere
from editloop.kernel.resources import NETWORK, Resources
from editloop.schema import EditRequest, Pixels, Unedited, canonical_json

__all__ = ["ImagesEditor", "ImagesEditorSettings", "picture_size", "unedited"]

_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
_SOURCE = "source"
_DEFAULT = {"openai": ("1024x1024", "1536x1024", "1024x1536"), "vllm-omni": (_SOURCE,)}
_BATCHES = 2  # batches in flight that one call of the editor takes


class ImagesEditorSettings(ImageSettings):
    """The model, its server, the sizes it takes, and where its pictures are kept."""

    size: tuple[str, ...] | None = Field(
        default=None,
        description="sizes that the model takes, as WIDTHxHEIGHT, of which the one nearest in "
        "shape is asked for; or source: the picture's own, rounded up to multiples of 16; "
        "default: 1024x1024,1536x1024,1024x1536 for openai, source for vllm-omni",
    )

    @field_validator("size", mode="before")
    @classmethod
    def _is_a_list(cls, value: object) -> object:
        return tuple(value.split(",")) if isinstance(value, str) else value

    @field_validator("size")
    @classmethod
    def _are_sizes(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and value != (_SOURCE,):
            for each in value or ("",):
                if not _SIZE.fullmatch(each):
                    raise ValueError(f"{each!r} is no size: write 1024x1024, or source alone")
        return value

    @property
    def frames(self) -> Sequence[Size] | int:
        """The sizes (height, width) of frames, or the multiple that a frame's sides are of."""
        names = self.size or _DEFAULT[self.dialect]
        if names == (_SOURCE,):
            return MULTIPLE
        found = (_SIZE.fullmatch(each) for each in names)
        return [(int(each[2]), int(each[1])) for each in found if each is not None]


class ImagesEditor:
    """An editor over HTTP; every picture is stored, so none is paid for twice.

    Pictures are framed (`framing`) to a size that the model takes; their size inside the frame is
    the editor's working size (`sessions.UnscaledEditor`). A picture of another shape than asked for
    is not used, as it is unknown where the source lies in it. A mask that allows editing everywhere
    is not sent. What lies outside a mask is what the model made of it.
    """

    Settings = ImagesEditorSettings
    resources: Resources = NETWORK

    def __init__(self, settings: ImagesEditorSettings) -> None:
        self._settings = settings
        self.name = f"images:{settings.target}"
        self.fingerprint = f"images-1-{VERSION}-{_identity(settings)}"
        self.in_flight = _BATCHES * settings.concurrency
        self.deadline = settings.timeout * settings.attempts
        self._client = ImageClient(settings, settings.ledger.expanduser(), run=settings.run)

    @property
    def account(self) -> tuple[Path, str | None]:
        """The file of replies, and the run whose budget and counts this editor shares."""
        return self._settings.ledger.expanduser(), self._settings.run

    @property
    def counts(self) -> ChatUsage:
        """The usage so far."""
        return self._client.counts

    def edit(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        """Return a picture for each request, or the reason why there is none."""
        made = self.edit_recorded(requests)
        return [each.pixels if isinstance(each, Edited) else each for each in made]

    def edit_recorded(self, requests: Sequence[EditRequest]) -> list[Edited | Unedited]:
        """Return a picture for each request with the size asked for and got, its key and cost."""
        return [
            each
            if isinstance(each, Unedited)
            else Edited(self.scaled_back(each.pixels, request), each.record)
            for request, each in zip(requests, self._edited(requests), strict=True)
        ]

    def edit_unscaled(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        """Return a picture for each request in the working size."""
        made = self._edited(requests)
        return [each.pixels if isinstance(each, Edited) else each for each in made]

    def scaled_back(self, edited: Pixels, request: EditRequest) -> Pixels:
        """Return a picture in the working size at the size of a request's image."""
        height, width = request.image.shape[:2]
        return resized(edited, (height, width))

    def _edited(self, requests: Sequence[EditRequest]) -> list[Edited | Unedited]:
        framed = [self._framed(request) for request in requests]
        asked = [each for each in framed if not isinstance(each, Unedited)]
        answers = iter(self._client.ask([question for question, _ in asked]))
        return [
            each if isinstance(each, Unedited) else _answer(each[1], next(answers))
            for each in framed
        ]

    def close(self) -> None:
        """Close the connections; later requests are refused."""
        self._client.close()

    def _framed(self, request: EditRequest) -> tuple[ImageQuestion, Frame] | Unedited:
        if is_nowhere(request.mask):
            return Unedited(NOWHERE)
        height, width = request.image.shape[:2]
        frame = frame_for((height, width), self._settings.frames)
        mask = request.mask
        masked = mask is not None and not mask.all()
        question = ImageQuestion(
            id=request.id,
            prompt=request.instruction,
            size=frame.size[::-1],
            picture=Picture.png(frame.place(request.image)),
            mask=mask_picture(frame.place_mask(mask), self._settings.dialect)
            if mask is not None and masked
            else None,
            seed=request.seed,
            repeat=self._settings.repeat,
        )
        return question, frame


def _answer(frame: Frame, answer: ImageAnswer | Failed) -> Edited | Unedited:
    if isinstance(answer, Failed):
        return unedited(answer)
    cut = frame.cut(answer.pixels)
    asked, got = picture_size(frame.size), picture_size(answer.pixels.shape)
    if cut is None:
        reason = f"the server made {got} of {asked}, another aspect ratio: it cannot be mapped back"
        return Unedited(reason, "another-shape", FailureClass.PERMANENT, answer.reply_key)
    return Edited(cut, answer.record(asked, got))


def unedited(failed: Failed) -> Unedited:
    """Return the answer for a picture that a server did not make; a filter's is `refused`."""
    code = "refused" if failed.failure is FailureClass.POLICY else failed.code
    return Unedited(f"{code}: {failed.message}", code, failed.failure, failed.reply_key)


def picture_size(shape: Sequence[int]) -> str:
    """Return the WIDTHxHEIGHT of a shape (height, width, ...)."""
    return f"{shape[1]}x{shape[0]}"


def _identity(settings: ImagesEditorSettings) -> str:
    content = {**settings.identity(), "size": settings.frames}
    return content_hash(canonical_json(content).encode())[:12]
