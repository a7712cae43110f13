"""Counters of the pictures that a measured process opens and decodes."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
from PIL import ImageFile

from editloop.schema import Json

__all__ = ["count_pictures", "tell"]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def count_pictures() -> Counter[str]:
    """Count from now on the `opens` of picture files and the `decodes` by OpenCV and Pillow."""
    counts: Counter[str] = Counter(opens=0, decodes=0)

    def opened(event: str, details: tuple[Any, ...]) -> None:
        if event == "open" and str(details[0]).endswith(_SUFFIXES) and "r" in (details[1] or ""):
            counts["opens"] += 1

    decode, load = cv2.imdecode, ImageFile.ImageFile.load

    def decoded(*arguments: Any, **options: Any) -> Any:
        counts["decodes"] += 1
        return decode(*arguments, **options)

    def loaded(image: ImageFile.ImageFile) -> Any:
        counts["decodes"] += bool(image.tile)  # a decoded picture has no tiles left
        return load(image)

    sys.addaudithook(opened)
    vars(cv2)["imdecode"] = decoded
    ImageFile.ImageFile.load = loaded
    return counts


def tell(path: str, **facts: Json) -> None:
    """Write the measurements for the parent process."""
    Path(path).write_text(json.dumps(facts), encoding="utf-8")
