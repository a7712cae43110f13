"""Pictures of the fake server's images endpoints, made by the darkroom.

    with FakeServer(pictures=picture_answers(samples)) as server: ...

An edit of known samples is answered by its true target. Any other picture is edited by the
darkroom's parser of instructions; what it does not understand is refused. A caption is answered by
the bundled photograph that shares most words with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from editloop.chat.fake.pictures import PictureAnswers, PictureRequest
from editloop.darkroom.develop import GENERATOR, Wrong, develop, read_record
from editloop.darkroom.scene import Darkroom
from editloop.editors.darkroom import DarkroomEditor, DarkroomEditorSettings
from editloop.editors.framing import MULTIPLE, Frame, frame_for
from editloop.editors.geometry import Size, resized
from editloop.images.codec import content_hash, decode
from editloop.runtime.seeding import derive_seed
from editloop.schema import EditRequest, EditSample, Pixels, Unedited
from editloop.sources.reload import reload
from editloop.sources.scenes import SCENES, photo

__all__ = ["picture_answers"]

_OTHERWISE = (
    "make it sepia",
    "make it black and white",
)  # what is done where another edit is ordered
_WORD = re.compile(r"\w+")


def picture_answers(samples: Iterable[EditSample] = ()) -> PictureAnswers:
    """Return a function that edits pictures and makes some from captions."""
    known = _Known(samples)
    editor = DarkroomEditor(DarkroomEditorSettings())

    def answer(asked: PictureRequest) -> Pixels:
        if asked.source is None:
            return _photo(asked)
        if (found := known.find(asked)) is not None:
            sample, frame = found
            return frame.place(_wrong(sample) if asked.wrong else _target(sample))
        prompt = asked.prompt
        if asked.wrong:
            prompt = next(each for each in _OTHERWISE if each != prompt)
        request = EditRequest("fake", asked.source, prompt, mask=asked.mask, seed=asked.seed)
        (made,) = editor.edit([request])
        if isinstance(made, Unedited):
            raise ValueError(made.reason)
        return made

    return answer


class _Known:
    """Edits by instruction, found by their source as the editor `images` frames it."""

    def __init__(self, samples: Iterable[EditSample]) -> None:
        self._samples: dict[str, list[EditSample]] = {}
        for sample in samples:
            if sample.source is not None and sample.target is not None:
                self._samples.setdefault(sample.instruction, []).append(sample)
        self._digests: dict[tuple[str, Size], str] = {}

    def find(self, asked: PictureRequest) -> tuple[EditSample, Frame] | None:
        """Return the edit that a request asks for, and the frame of its picture."""
        assert asked.source is not None
        size, digest = (asked.size[1], asked.size[0]), _digest(asked.source)
        for sample in self._samples.get(asked.prompt, []):
            source = decode(sample.source_image.bytes)
            for sizes in (MULTIPLE, [size]):
                frame = frame_for((source.shape[0], source.shape[1]), sizes)
                if frame.size == size and self._digest(sample, source, frame) == digest:
                    return sample, frame
        return None

    def _digest(self, sample: EditSample, source: Pixels, frame: Frame) -> str:
        key = (sample.id, frame.size)
        if key not in self._digests:
            self._digests[key] = _digest(frame.place(source))
        return self._digests[key]


def _target(sample: EditSample) -> Pixels:
    assert sample.target is not None
    return decode(sample.target.bytes)


def _wrong(sample: EditSample) -> Pixels:
    """Return the edit of another object or attribute, of a sample that the darkroom made."""
    origin = sample.provenance
    if origin is not None and origin.generator == GENERATOR:
        darkroom, turn = Darkroom(reload(origin)), read_record(origin)
        wrong = Wrong(darkroom, turn, origin.seed or 0)
        for name in ("object", "attribute"):
            if name in wrong:
                return wrong[name]
        return 255 - develop(darkroom, turn).target
    return np.asarray(255 - _target(sample))


def _photo(asked: PictureRequest) -> Pixels:
    """Return a photograph for a caption, cut to the shape that is asked for."""
    words = set(_WORD.findall(asked.prompt.lower()))
    name = max(
        SCENES,
        key=lambda each: (
            len(words & set(_WORD.findall(SCENES[each].caption.lower()))),
            derive_seed(asked.prompt, asked.seed, each),
        ),
    )
    pixels, (width, height) = photo(name), asked.size
    rows, columns = pixels.shape[:2]
    rows, columns = min(rows, columns * height // width), min(columns, rows * width // height)
    return resized(pixels[: max(1, rows), : max(1, columns)], (height, width))


def _digest(pixels: Pixels) -> str:
    return content_hash(repr(pixels.shape).encode() + pixels.tobytes())
