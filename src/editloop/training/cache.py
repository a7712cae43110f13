"""The pixel cache of a training split: pictures decoded once into a memory-mapped file.

A published split is streamed once into one file of uint8 rows (source, target and mask as
channels), with scores and texts in files next to it. Besides texts, building takes 40 bytes of
memory per sample. `cache.json` is written last: without it the cache is built again.
"""

from __future__ import annotations

import io
import json
from array import array
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from editloop.errors import TrainingError
from editloop.images.codec import resize
from editloop.images.masks import BY_CONTENT, MaskReading
from editloop.schema import CLEAN_TEXT, PERSPECTIVES, EditSample, Json, Score
from editloop.storage.files import Files, explained, replace_file
from editloop.training.triples import decoded

__all__ = ["EditCache", "off_scale", "open_cache", "reward_text_of", "rewards_of"]

_PICTURES, _NUMBERS, _FACTS = "pictures.bin", "numbers.npz", "cache.json"
_CHANNELS = 7  # source 3, target 3, mask 1
_BEST = 5.0  # the highest score
_VERSION = 3  # changes when the same samples give other arrays


@dataclass(frozen=True, slots=True, eq=False)
class EditCache:
    """The samples of one split as arrays, in the split's order.

    pictures: uint8 [samples, size, size, 7]: source, target and mask;
    scores and keep: float32 [samples, 3]; for a missing score both are 0;
    instruction and reward: int64 [samples], indices into `texts` and `reward_texts`.
    """

    pictures: NDArray[np.uint8]
    scores: NDArray[np.float32]
    keep: NDArray[np.float32]
    instruction: NDArray[np.int64]
    reward: NDArray[np.int64]
    texts: tuple[str, ...]
    reward_texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pictures)


def open_cache(
    folder: Path,
    key: str,
    size: int,
    samples: Callable[[], Iterable[EditSample]],
    reading: MaskReading = BY_CONTENT,
) -> EditCache:
    """Open the cache in a folder; build it from `samples()` unless it has the same key and size.

    Pictures are resized to size x size without keeping their aspect ratio, and `reading` decides
    where masks allow editing. Raises TrainingError for
    a sample that can't be trained on, and if there are no samples.
    """
    key = "-".join(map(str, (key, _VERSION, *(astuple(reading) if reading != BY_CONTENT else ()))))
    facts = _read_facts(folder)
    if facts is None or (facts["key"], facts["size"]) != (key, size):
        facts = _Builder(folder, size, reading).build(samples(), key)
    shape = (facts["samples"], size, size, _CHANNELS)
    with explained("read the training data's cache", folder):
        pictures = np.memmap(folder / _PICTURES, np.uint8, mode="r", shape=shape)
        with np.load(folder / _NUMBERS) as numbers:
            arrays = {name: numbers[name] for name in numbers.files}
    return EditCache(
        pictures, **arrays, texts=tuple(facts["texts"]), reward_texts=tuple(facts["reward_texts"])
    )


def rewards_of(sample: EditSample) -> tuple[list[float], list[float]]:
    """Return the scores in the order of PERSPECTIVES, and 1 for known, 0 for missing scores.

    A missing score has the value 0. A score outside of 0 to 5 is missing.
    """
    known = _known(sample)
    values = [0.0 if score is None else score.value for score in known]
    return values, [float(score is not None) for score in known]


def reward_text_of(sample: EditSample, separator: str = ";") -> str:
    """Join the reward texts: Concat[T_f, T_p, T_q] (Multi-Reward paper, section 4.3).

    The best score without a text gives "None" (no faults); any other score without a text, and a
    missing score, give the empty string.
    """
    return separator.join(map(_words, _known(sample)))


def _words(score: Score | None) -> str:
    if score is None:
        return ""
    return score.text or (CLEAN_TEXT if score.value == _BEST else "")


def off_scale(sample: EditSample) -> list[str]:
    """Return the perspectives whose scores lie outside of 0 to 5."""
    scores = {name: sample.scores.get(name) for name in PERSPECTIVES}
    return [name for name, score in scores.items() if isinstance(score, Score) and not _fits(score)]


def _known(sample: EditSample) -> list[Score | None]:
    """Return the scores of a sample in the order of PERSPECTIVES; None for missing ones."""
    scores = [sample.scores.get(name) for name in PERSPECTIVES]
    return [score if isinstance(score, Score) and _fits(score) else None for score in scores]


def _fits(score: Score) -> bool:
    return 0 <= score.value <= _BEST


@dataclass(slots=True)
class _Builder:
    folder: Path
    size: int
    reading: MaskReading
    scores: array[float] = field(default_factory=lambda: array("f"))
    keep: array[float] = field(default_factory=lambda: array("f"))
    instruction: array[int] = field(default_factory=lambda: array("q"))
    reward: array[int] = field(default_factory=lambda: array("q"))
    texts: dict[str, int] = field(default_factory=dict)
    reward_texts: dict[str, int] = field(default_factory=dict)

    def build(self, samples: Iterable[EditSample], key: str) -> dict[str, Json]:
        with explained("write the training data's cache", self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / _FACTS).unlink(missing_ok=True)
            with (self.folder / _PICTURES).open("wb") as pictures:
                for sample in samples:
                    pictures.write(self._row(sample).tobytes())
                    self._note(sample)
            facts = self._facts(key)
            replace_file(Files(), self.folder / _NUMBERS, self._numbers())
            replace_file(Files(), self.folder / _FACTS, json.dumps(facts).encode())
        return facts

    def _row(self, sample: EditSample) -> NDArray[np.uint8]:
        """Return one sample's pixels, uint8 [size, size, 7]."""
        found = decoded(sample, self.reading)
        all_three = (found.source, found.target, found.whole_mask)
        return np.dstack([resize(each, self.size, self.size) for each in all_three])

    def _note(self, sample: EditSample) -> None:
        values, known = rewards_of(sample)
        self.scores.extend(values)
        self.keep.extend(known)
        for places, texts, text in (
            (self.instruction, self.texts, sample.instruction),
            (self.reward, self.reward_texts, reward_text_of(sample)),
        ):
            places.append(texts.setdefault(text, len(texts)))

    def _numbers(self) -> bytes:
        buffer = io.BytesIO()
        np.savez(
            buffer,
            scores=np.array(self.scores, np.float32).reshape(-1, len(PERSPECTIVES)),
            keep=np.array(self.keep, np.float32).reshape(-1, len(PERSPECTIVES)),
            instruction=np.array(self.instruction, np.int64),
            reward=np.array(self.reward, np.int64),
        )
        return buffer.getvalue()

    def _facts(self, key: str) -> dict[str, Json]:
        if not self.instruction:
            raise TrainingError(
                "nothing to train on: the split is empty",
                value=self.folder,
                fix="choose another split, or build more data",
            )
        return {
            "key": key,
            "size": self.size,
            "samples": len(self.instruction),
            "texts": list(self.texts),
            "reward_texts": list(self.reward_texts),
        }


def _read_facts(folder: Path) -> dict[str, Json] | None:
    try:
        facts: dict[str, Json] = json.loads((folder / _FACTS).read_bytes())
    except FileNotFoundError:
        return None
    return facts
