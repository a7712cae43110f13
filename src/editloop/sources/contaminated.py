"""The part `contamination` of a recipe's `evaluate`: what the step of that name found, in numbers.

evaluation/NAME/contaminated.jsonl    a line a sample: id, kept or dropped, what was found
results.json: contamination.NAME      by test set and kind: kept, dropped, the first ids
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import Field

from editloop.loop.parts import PartContext, PartResult
from editloop.schema import Json
from editloop.settings import Settings as BaseSettings
from editloop.sources.contamination import NOTE, found_in
from editloop.storage.files import explained
from editloop.storage.parquet import read_rows
from editloop.storage.samples import published_files, split_names

__all__ = ["ContaminationCount"]

_LIST = "contaminated.jsonl"
_Found = Mapping[str, list[str]]


class ContaminationCount:
    """Counts samples that share something with a test set; all their ids are in a list."""

    version = "1"

    class Settings(BaseSettings):
        """How many ids the results name."""

        ids: int = Field(default=1000, ge=0, description="named in results.json, of each kind")

    def __init__(self, settings: ContaminationCount.Settings) -> None:
        self._settings = settings

    @property
    def parameters(self) -> Mapping[str, Json]:
        return self._settings.model_dump(mode="json")

    def run(self, context: PartContext) -> PartResult:
        """Read the data and what was dropped, without pictures."""
        counts: dict[str, Json] = {"kept": 0, "dropped": 0, "found": {}}
        path = context.output / _LIST
        with (
            explained("write what is contaminated", path),
            path.open("w", encoding="utf-8") as file,
        ):
            for name, dropped, found in _contaminated(context.run):
                fate = "dropped" if dropped else "kept"
                counts[fate] += 1
                self._count(counts["found"], name, fate, found)
                line = {"id": name, "fate": fate, "found": found}
                file.write(f"{json.dumps(line, ensure_ascii=False, sort_keys=True)}\n")
        return PartResult({"contamination": {context.name: counts}})

    def _count(self, counts: dict[str, Json], name: str, fate: str, found: _Found) -> None:
        for listed, kinds in found.items():
            of_set = counts.setdefault(listed, {})
            for kind in kinds:
                each = of_set.setdefault(kind, {"kept": 0, "dropped": 0, "ids": []})
                each[fate] += 1
                if len(each["ids"]) < self._settings.ids:
                    each["ids"].append(name)


def _contaminated(run: Path) -> Iterator[tuple[str, bool, _Found]]:
    """Id, whether it was dropped, and what was found, of each such sample."""
    data = run / "data"
    for path in (file for split in split_names(data) for file in published_files(data, split)):
        for row in read_rows(path, ["id", "provenance.parameters"], what="a data set"):
            made = row["provenance"]
            found = None if made is None else json.loads(made["parameters"]).get(NOTE)
            if found:
                yield row["id"], False, found
    dropped = run / "rejects" / "dropped.parquet"
    for row in read_rows(dropped, ["id", "reason"], what="what was dropped"):
        found = found_in(row["reason"])
        if found:
            yield row["id"], True, found
