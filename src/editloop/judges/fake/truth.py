"""True answers for the fake server: the truth judge's verdicts in the form that a rubric asks for.

The server gets only pictures and words, as a model does. It looks up the edit among known samples
by thumbnails, and by the instruction if the question has one. A picture with exactly the bytes that
a known one would be sent as is taken to be that one, so verdicts do not depend on how pictures are
encoded. Any other picture is judged as it was received.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from editloop.chat.fake.request import FakeRequest
from editloop.chat.fake.server import Answers
from editloop.chat.prompts import PictureEncoding, encode_picture, fenced
from editloop.darkroom.truth import KnownTruthJudge
from editloop.images.codec import content_hash, decode, resize
from editloop.judges.fake.forms import asks_by, declined, preference, scores
from editloop.judges.rubrics import Rubric, read_rubric, rubric_names
from editloop.judges.samples import sample_pair
from editloop.schema import EditedPair, EditSample, Pixels, Verdict

__all__ = ["Look", "Shown", "TruthTable", "truth_answers"]

_SIDE = 32  # of a thumbnail
_NEAR = 2.0  # levels of 0-255, root mean square, between thumbnails of the same picture
_FAR = 8.0  # a source that differs by more is another photo
_HELD = 32  # edits whose pixels are held at a time


def truth_answers(samples: Iterable[EditSample], rubrics: Sequence[Rubric] = ()) -> Answers:
    """Return a function that answers questions of these rubrics, or the package's, by the truth.

    It declines, in words, to judge edits whose truth it does not know.
    """
    table = TruthTable(samples)
    known = tuple(rubrics) or tuple(read_rubric(name) for name in rubric_names())

    def answer(asked: FakeRequest) -> str:
        rubric = next((each for each in known if asks_by(each, asked)), None)
        if rubric is None:
            return declined("the question is of no rubric that I know")
        shown = dict(zip(rubric.shows, map(Shown, asked.images, asked.pictures), strict=True))
        look = Look(shown.get("source"), "\n".join(asked.texts), rubric.pictures)
        judged = ("edited",) if rubric.preference is None else ("first", "second")
        verdicts = [table.judge(shown[name], look) for name in judged]
        given = [verdict for verdict in verdicts if verdict is not None]
        if len(given) < len(verdicts):
            return declined("I know neither the pictures nor the instruction")
        return scores(rubric, *given) if len(given) == 1 else preference(rubric, *given)

    return answer


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A picture as it was received."""

    data: bytes
    pixels: Pixels


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """The context of a picture to judge: its source if shown, the words, and its encoding."""

    source: Shown | None
    text: str
    rule: PictureEncoding


class TruthTable:
    """A lookup of known edits by their pictures; verdicts on known pictures are cached."""

    def __init__(self, samples: Iterable[EditSample]) -> None:
        self._samples = [sample for sample in samples if sample.target is not None]
        self._sources = _thumbnails(sample.source_image.bytes for sample in self._samples)
        self._edited = _thumbnails(
            sample.target.bytes for sample in self._samples if sample.target is not None
        )
        self._pair = lru_cache(maxsize=_HELD)(self._load)
        self._sent = cache(self._hash_sent)
        self._known_verdict = cache(self._verdict)
        self._lock = Lock()

    def judge(self, edited: Shown, look: Look) -> Verdict | None:
        """Return the truth judge's verdict on a picture; None if it belongs to no known edit."""
        with self._lock:  # so that two threads do not render the same edit
            return self._judge(edited, look)

    def _judge(self, edited: Shown, look: Look) -> Verdict | None:
        rows = self._candidates(look)
        if not rows:
            return None
        off = _distances(self._edited[rows], edited.pixels)
        digest = content_hash(edited.data)
        for at in np.argsort(off, kind="stable")[: int((off <= off.min() + _NEAR).sum())]:
            for name in ("edited", "source", "target"):
                if self._sent(rows[at], name, look.rule) == digest:
                    return self._known_verdict(rows[at], name)
        return _judged(self._pair(rows[int(off.argmin())]), edited.pixels)

    def _load(self, row: int) -> EditedPair:
        pair = sample_pair(self._samples[row]).pair
        assert pair is not None, "its pictures were decoded before"
        return pair

    def _candidates(self, look: Look) -> list[int]:
        """Return the rows with the shown source, if any, and an instruction found in the words."""
        rows = list(range(len(self._samples)))
        if look.source is not None and rows:
            off = _distances(self._sources, look.source.pixels)
            rows = np.flatnonzero((off < _FAR) & (off <= off.min() + _NEAR)).tolist()
        for quoted in (fenced, str):
            quoting = [row for row in rows if self._is_quoted(row, quoted, look.text)]
            if quoting:
                return quoting
        return rows

    def _is_quoted(self, row: int, quoted: Callable[[str], str], text: str) -> bool:
        instruction = self._samples[row].instruction
        return bool(instruction) and quoted(instruction) in text

    def _hash_sent(self, row: int, name: str, rule: PictureEncoding) -> str | None:
        """Return the hash of one of an edit's pictures as it is sent; None if it is missing."""
        pixels: Pixels | None = getattr(self._pair(row), name, None)
        return None if pixels is None else content_hash(encode_picture(pixels, rule).data)

    def _verdict(self, row: int, name: str) -> Verdict:
        pair = self._pair(row)
        return _judged(pair, getattr(pair, name))


def _judged(pair: EditedPair, edited: Pixels) -> Verdict:
    """Return the truth judge's verdict on a picture as the result of a known edit."""
    if edited.shape != pair.source.shape:
        edited = resize(edited, *pair.source.shape[:2])
    return KnownTruthJudge().judge([replace(pair, edited=edited)])[0]


def _thumbnails(pictures: Iterable[bytes]) -> NDArray[np.float32]:
    """Return the pictures' thumbnails [n, side * side * 3], in levels of 0-255."""
    made = [_thumbnail(decode(data)) for data in pictures]
    return np.stack(made) if made else np.empty((0, _SIDE * _SIDE * 3), np.float32)


def _thumbnail(pixels: Pixels) -> NDArray[np.float32]:
    return resize(pixels, _SIDE, _SIDE).astype(np.float32).ravel()


def _distances(thumbnails: NDArray[np.float32], pixels: Pixels) -> NDArray[np.float32]:
    """Return root mean square differences, in levels of 0-255."""
    off: NDArray[np.float32] = np.sqrt(np.square(thumbnails - _thumbnail(pixels)).mean(axis=1))
    return off
