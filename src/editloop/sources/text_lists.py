"""The sources `triplets` and `captions`: texts whose pictures are made by later steps.

InstructPix2Pix and HQ-Edit write captions and instructions first. Their samples have no source
picture until a step makes it; a data set without pictures is not published.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from pydantic import Field

from editloop.errors import FailureClass, RecipeError, known_names
from editloop.kernel.steps import Fail, Keep, Outcome, SourceItem
from editloop.schema import EditSample, Json, Provenance
from editloop.settings import Settings as BaseSettings
from editloop.sources.text_rows import TEXT, check_columns, read_text_rows, text_in
from editloop.sources.text_tables import TextRow

__all__ = [
    "CaptionsSettings",
    "CaptionsSource",
    "TextListSettings",
    "TripletsSettings",
    "TripletsSource",
]

_TRIPLET = {
    "input": "source_caption",
    "edit": "instruction",
    "output": "target_caption",
    "inverse": "inverse_instruction",
}
_SEEDS = Path(__file__).with_name("seed_triplets.jsonl")  # written for this package
_OPTIONAL = ("inverse", "id")
_DIGITS = 7  # of a line's number in an id


class TextListSettings(BaseSettings):
    """The split of a file's rows, and the licence of its texts."""

    split: str = Field(default="train", pattern=r"^[a-z][a-z0-9_]*$")
    licence: str | None = None


class TripletsSettings(TextListSettings):
    """The file of triplets."""

    path: Path | None = Field(default=None, description="by default the 62 seeds of this package")


class CaptionsSettings(TextListSettings):
    """The file of captions and, for a table, the column."""

    path: Path
    column: str | None = Field(
        default=None, description="the captions' column; by default `caption`, or `text`"
    )


class _TextList(ABC):
    """What both sources share; a row that cannot be used is quarantined with its line."""

    version = "1"

    def __init__(self, settings: TripletsSettings | CaptionsSettings) -> None:
        self._settings = settings
        self._path = (settings.path or _SEEDS).expanduser()

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    def parameters(self) -> Mapping[str, Json]:
        return self._settings.model_dump(mode="json", exclude={"path"})

    @abstractmethod
    def _columns(self, there: Sequence[str]) -> Mapping[str, str]:
        """Return the sample's field of each column to read, from the first row's columns."""
        ...

    def items(self) -> Iterator[SourceItem]:
        """Yield one item for each row. Raises RecipeError if the file is empty or misnamed."""
        rows = read_text_rows(self._path)
        first = next(rows, None)
        if first is None:
            raise RecipeError("a file of texts is empty", value=self._path, fix="give another file")
        there = list(first.values) if isinstance(first.values, Mapping) else []
        columns = self._columns(there)
        seen: set[str] = set()
        for row in chain([first], rows):
            item = self._item(row, columns)
            if item.id in seen:
                raise RecipeError(
                    f"{row.where}: the id {item.id!r} is used twice",
                    value=self._path,
                    fix="rename it",
                )
            seen.add(item.id)
            yield item

    def load(self, items: Sequence[SourceItem]) -> list[Outcome]:
        return [self._sample(item) for item in items]

    def _item(self, row: TextRow, columns: Mapping[str, str]) -> SourceItem:
        found = {
            field: text_in(row, column, needed=column not in _OPTIONAL)
            for column, field in columns.items()
        }
        fail = next((each for each in found.values() if isinstance(each, Fail)), None)
        own = found.pop("id", None)
        name = own if isinstance(own, str) else f"{self.name}/{row.number:0{_DIGITS}d}"
        facts: Mapping[str, Json] = {"fault": fail.message} if fail else {"texts": found}
        return SourceItem(name, self._settings.split, f"{self._path.name}:{row.number}", facts)

    def _sample(self, item: SourceItem) -> Outcome:
        if (fault := item.parameters.get("fault")) is not None:
            return Fail("text", FailureClass.PERMANENT, fault)
        made = Provenance(
            self.name, self.version, licence=self._settings.licence, source_uri=item.uri
        )
        return Keep((EditSample(item.id, None, provenance=made, **item.parameters["texts"]),))


class TripletsSource(_TextList):
    """The source kind `triplets`: a JSONL, CSV or table with the columns `input`, `edit`, `output`.

    Each row becomes a sample without pictures: captions before and after and the instruction, and
    the inverse instruction and the id where the columns `inverse` and `id` have them.
    """

    Settings = TripletsSettings
    name = "triplets"

    def _columns(self, there: Sequence[str]) -> Mapping[str, str]:
        known = {**_TRIPLET, "id": "id"}
        check_columns(self._path, there, known, known.keys() - {*_OPTIONAL})
        return known


class CaptionsSource(_TextList):
    """The source kind `captions`: one caption per line of a text file, or a column of a table.

    Each becomes the source caption of a sample without pictures.
    """

    Settings = CaptionsSettings
    name = "captions"

    def __init__(self, settings: CaptionsSettings) -> None:
        super().__init__(settings)
        self._column = settings.column

    def _columns(self, there: Sequence[str]) -> Mapping[str, str]:
        usual = [name for name in ("caption", TEXT) if name in there]
        named = [self._column] if self._column is not None else usual
        if len(named) != 1 or named[0] not in there:
            raise RecipeError(
                "it is not clear which column has the captions",
                value=self._path,
                fix=f"set `column`: {known_names(self._column or 'caption', there)}",
            )
        return {named[0]: "source_caption"}
