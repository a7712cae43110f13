"""The generator `images`: an image model behind a server of OpenAI's images API."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from editloop.chat.images import ImageAnswer, ImageClient, ImageQuestion, ImageSettings
from editloop.chat.messages import Failed
from editloop.editors.images_api import picture_size, unedited
from editloop.editors.records import Edited
from editloop.generation.picturing import Caption
from editloop.images.codec import content_hash
from editloop.kernel.resources import NETWORK, Resources
from editloop.schema import Unedited, canonical_json

__all__ = ["ImagesGenerator", "ImagesGeneratorSettings"]


class ImagesGeneratorSettings(ImageSettings):
    """The model, its server, the size to ask for, and where its pictures are kept."""

    size: str = Field(
        default="1024x1024",
        pattern=r"^[1-9]\d{0,4}x[1-9]\d{0,4}$",
        description="size to ask for, as WIDTHxHEIGHT",
    )


class ImagesGenerator:
    """A text-to-image generator over HTTP; every picture is stored, so none is paid for twice.

    A picture of another size than asked for is kept as it is, and both sizes are recorded.
    """

    Settings = ImagesGeneratorSettings
    resources: Resources = NETWORK

    def __init__(self, settings: ImagesGeneratorSettings) -> None:
        self._settings = settings
        self.name = f"images:{settings.target}"
        identity = canonical_json(settings.identity()).encode()
        self.fingerprint = f"images-1-{content_hash(identity)[:12]}"
        self.deadline = settings.timeout * settings.attempts
        self._client = ImageClient(settings, settings.ledger.expanduser(), run=settings.run)

    @property
    def account(self) -> tuple[Path, str | None]:
        """The file of replies, and the run whose budget and counts this generator shares."""
        return self._settings.ledger.expanduser(), self._settings.run

    def generate(self, captions: Sequence[Caption]) -> list[Edited | Unedited]:
        """Return a picture for each caption with the size asked for and got, its key and cost."""
        width, height = map(int, self._settings.size.split("x"))
        repeat = self._settings.repeat
        answers = self._client.ask(
            [
                ImageQuestion(each.id, each.text, (width, height), seed=each.seed, repeat=repeat)
                for each in captions
            ]
        )
        return [self._made(each) for each in answers]

    def close(self) -> None:
        """Close the connections; later captions are refused."""
        self._client.close()

    def _made(self, answer: ImageAnswer | Failed) -> Edited | Unedited:
        if isinstance(answer, Failed):
            return unedited(answer)
        got = picture_size(answer.pixels.shape)
        return Edited(answer.pixels, answer.record(self._settings.size, got))
