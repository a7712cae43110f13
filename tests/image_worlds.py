"""Helpers for tests of image servers: a fake server of the darkroom's edits, and editors at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from editloop.chat.fake.faults import Fault, in_order
from editloop.chat.fake.pictures import PictureRequest
from editloop.chat.fake.server import FakeServer, FakeSettings
from editloop.editors.fake import picture_answers
from editloop.editors.images_api import ImagesEditor
from editloop.registry import create
from editloop.schema import EditRequest, Mask, Pixels
from editloop.sources.scenes import photo

__all__ = ["ImageWorld", "cup", "image_world", "request"]


def cup(height: int = 48, width: int = 64) -> Pixels:
    """Return a piece of a photograph."""
    return np.ascontiguousarray(photo("coffee")[100 : 100 + height, 200 : 200 + width])


def request(
    name: str = "a", image: Pixels | None = None, mask: Mask | None = None, seed: int = 0
) -> EditRequest:
    """Return a request that the darkroom understands."""
    picture = cup() if image is None else image
    return EditRequest(name, picture, "make it black and white", mask=mask, seed=seed)


class ImageWorld:
    """A fake server, the requests that it answered, and a ledger."""

    def __init__(self, server: FakeServer, folder: Path, came: list[PictureRequest]) -> None:
        self.server = server
        self.came = came
        self.ledger = folder / "ledger.db"
        self._editors: list[ImagesEditor] = []

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of a model at this server."""
        own = {"target": "painter", "base_url": self.server.base_url, "ledger": str(self.ledger)}
        return {**own, "attempts": 1, "size": "source", "timeout": 20}

    def editor(self, **settings: Any) -> ImagesEditor:
        made: ImagesEditor = create("editor", "images", {**self.settings, **settings})
        self._editors.append(made)
        return made

    def close(self) -> None:
        for each in self._editors:
            each.close()


@contextmanager
def image_world(
    folder: Path, *faults: Fault | None, dialect: str = "openai"
) -> Iterator[ImageWorld]:
    """A world whose server has these faults in order."""
    came: list[PictureRequest] = []
    edit = picture_answers()

    def answer(asked: PictureRequest) -> Pixels:
        came.append(asked)
        return edit(asked)

    settings = FakeSettings(dialect=dialect)
    with FakeServer(pictures=answer, faults=in_order(*faults), settings=settings) as server:
        here = ImageWorld(server, folder, came)
        try:
            yield here
        finally:
            here.close()
