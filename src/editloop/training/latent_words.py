"""The text ids and scores of a data set's samples in a file, one row per sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from editloop.errors import CorruptError
from editloop.models.backbones.texts import Texts
from editloop.schema import PERSPECTIVES, Json
from editloop.storage.files import Files, explained
from editloop.storage.records import read_record, write_record
from editloop.training.cache import reward_text_of, rewards_of
from editloop.training.latent_rows import Row, Rows, row_type, sealed, write_rows
from editloop.training.mirroring import Mirroring
from editloop.training.rows import PublishedRows

__all__ = ["Words"]

_AT_ONCE = 1024  # samples


@dataclass(frozen=True, slots=True)
class Words:
    """A file of rows with `text` and `reward` ids, `scores` and `keep` (as in `EditInputs`).

    `mirrors` is 1 for edits that may be mirrored. `separator` joins the reward texts of the
    perspectives.
    """

    path: Path
    texts: Texts
    rows: PublishedRows
    separator: str
    mirroring: Mirroring

    def facts(self) -> Mapping[str, Json] | None:
        """Return the file's record, or None if the file is missing or incomplete."""
        try:
            facts: dict[str, Json] | None = read_record(Files(), self._record)
        except CorruptError:
            return None
        if facts is None or not self.path.is_file():
            return None
        return facts if self.path.stat().st_size == facts["bytes"] else None

    def write(self, files: Files) -> None:
        """Read all texts and scores of the data set, and write the file."""
        written = write_rows(files, self.path, self._tables())
        write_record(files, self._record, {"bytes": written})

    def mapped(self) -> Rows:
        """Return the memory-mapped rows, in the data set's order."""
        with explained("read the training data's cache", self.path):
            return np.memmap(self.path, self._row, mode="r")

    def _tables(self) -> Iterator[Rows]:
        kind = self._row
        for start in range(0, len(self.rows), _AT_ONCE):
            samples = list(self.rows.stream(start, start + _AT_ONCE, pictures=False))
            table = np.zeros(len(samples), kind)
            table["text"] = self.texts.ids([each.instruction for each in samples])
            rewards = [reward_text_of(each, self.separator) for each in samples]
            table["reward"] = self.texts.ids(rewards)
            values, known = zip(*map(rewards_of, samples), strict=True)
            table["scores"], table["keep"] = values, known
            table["mirrors"] = list(map(self.mirroring.allows, samples))
            yield sealed(table)

    @property
    def _row(self) -> Row:
        ids = self.texts.ids([""]).shape[1]
        perspectives = len(PERSPECTIVES)
        return row_type(
            {
                "text": ("<i4", (ids,)),
                "reward": ("<i4", (ids,)),
                "scores": ("<f4", (perspectives,)),
                "keep": ("<f4", (perspectives,)),
                "mirrors": ("<u4", ()),
            }
        )

    @property
    def _record(self) -> Path:
        return self.path.with_suffix(".json")
