"""Hashes that identify a test set's edits without containing them, stored in a JSON file.

    {"format": "editloop-hashes", "version": 1, "name": "...", "edits": N,
     "instructions": ["sha256", ...],
     "sources": [["sha256", "16 hex digits" or null], ...], "targets": [...]}

An instruction's hash is the SHA-256 of its normalised text (`text_hash`). A picture has the SHA-256
of its size and decoded RGB pixels, and 64 bits that survive scaling and compression
(`perceptual_hash`). Lists are sorted, so that they do not reveal the order or which items belong
together.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from editloop.errors import RecipeError
from editloop.images.codec import decode
from editloop.schema import EditSample, Image, Json, Pixels
from editloop.sources.entries import Problem, read_json
from editloop.storage.files import Files, explained, replace_file

__all__ = [
    "HashList",
    "PictureHash",
    "hash_samples",
    "perceptual_hash",
    "picture_hash",
    "pixel_hash",
    "read_hashes",
    "text_hash",
    "write_hashes",
]

_FORMAT, _VERSION = "editloop-hashes", 1
_SIDE = 32  # pixels of the small grey picture
_BITS = 64
_FLAT = 2.0  # standard deviation in grey levels: below, a picture's bits would be noise

# The 64 lowest frequencies of the cosine transform except the mean, in a fixed order.
_LOW = sorted(
    ((i, j) for i in range(_SIDE) for j in range(_SIDE) if i + j), key=lambda at: (sum(at), at)
)[:_BITS]


@dataclass(frozen=True, slots=True, order=True)
class PictureHash:
    """The exact hash of a picture's pixels, and a perceptual one (None if it is nearly flat)."""

    pixels: str
    rough: int | None


@dataclass(frozen=True, slots=True)
class HashList:
    """The hashes of one test set."""

    name: str
    edits: int
    instructions: frozenset[str]
    sources: frozenset[PictureHash]
    targets: frozenset[PictureHash]

    def to_json(self) -> dict[str, Json]:
        """Return the content of the file."""
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "name": self.name,
            "edits": self.edits,
            "instructions": sorted(self.instructions),
            "sources": _written(self.sources),
            "targets": _written(self.targets),
        }


def text_hash(text: str) -> str:
    """Return the SHA-256 of a text without its case, punctuation and spacing (Unicode NFKC)."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = "".join(" " if unicodedata.category(char)[0] == "P" else char for char in folded)
    return hashlib.sha256(" ".join(words.split()).encode("utf-8", "surrogatepass")).hexdigest()


def picture_hash(picture: Image) -> PictureHash:
    """Return a picture's hashes; raise ImageError if it cannot be read."""
    return pixel_hash(decode(picture.bytes))


def pixel_hash(pixels: Pixels) -> PictureHash:
    """Return the hashes of a decoded picture [height, width, 3]."""
    height, width = pixels.shape[:2]
    digest = hashlib.sha256(f"{height}x{width}:".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return PictureHash(digest.hexdigest(), perceptual_hash(pixels))


def perceptual_hash(pixels: Pixels) -> int | None:
    """Return a 64 bit hash of a picture [h, w, 3]: which low frequencies are above their median.

    The picture is shrunk to 32 x 32 grey pixels before its cosine transform. None if it is nearly
    flat.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    if float(small.std()) < _FLAT:
        return None
    spectrum: NDArray[np.float32] = cv2.dct(small)
    low = np.array([spectrum[at] for at in _LOW])
    bits = low > np.median(low)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def hash_samples(name: str, samples: Iterable[EditSample]) -> HashList:
    """Return the hashes of a test set's samples, which are read one at a time."""
    edits = 0
    instructions: set[str] = set()
    sources: set[PictureHash] = set()
    targets: set[PictureHash] = set()
    for sample in samples:
        edits += 1
        instructions.add(text_hash(sample.instruction))
        sources.add(picture_hash(sample.source_image))
        if sample.target is not None:
            targets.add(picture_hash(sample.target))
    kept = frozenset(instructions), frozenset(sources), frozenset(targets)
    return HashList(name, edits, *kept)


def write_hashes(listed: HashList, path: Path) -> None:
    """Write a list of hashes; equal lists give equal bytes."""
    text = json.dumps(listed.to_json(), indent=0, ensure_ascii=False)
    with explained("write a list of hashes", path):
        replace_file(Files(), path, f"{text}\n".encode())


def read_hashes(path: Path) -> HashList:
    """Read a list of hashes; raise RecipeError if the file is not one."""
    content = read_json(path)
    if isinstance(content, Problem):
        raise _no_list(path, content.cause)
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise _no_list(path, f"its format is not {_FORMAT}")
    if content.get("version") != _VERSION:
        raise _no_list(path, f"its version is {content.get('version')!r}, not {_VERSION}")
    try:
        return HashList(
            str(content["name"]),
            int(content["edits"]),
            frozenset(map(_digest, content["instructions"])),
            frozenset(_read(content["sources"])),
            frozenset(_read(content["targets"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _no_list(path, f"it is damaged: {error!r}") from error


def _written(pictures: Iterable[PictureHash]) -> list[Json]:
    found = [
        [each.pixels, None if each.rough is None else f"{each.rough:016x}"] for each in pictures
    ]
    return sorted(found, key=lambda each: each[0] or "")


def _read(pairs: Json) -> Iterator[PictureHash]:
    for pixels, rough in pairs:
        yield PictureHash(_digest(pixels), None if rough is None else int(rough, 16))


def _digest(text: Json) -> str:
    if not isinstance(text, str) or len(text) != 64 or int(text, 16) < 0:
        raise ValueError(f"not a SHA-256: {text!r}")
    return text


def _no_list(path: Path, cause: str) -> RecipeError:
    return RecipeError(
        f"a list of hashes cannot be read: {cause}",
        value=path,
        fix="make one: `editloop hashes DATA -o LIST.json`",
    )
