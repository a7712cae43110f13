"""The step `contamination`: find samples that share an instruction or a picture with test sets.

Matches are recorded in a sample's provenance (`parameters["contamination"]`: for each test set,
which of instruction, source and target match); with `drop` such samples are dropped, with the
matches as the reason. A short, common instruction may match although the sample does not come from
the test set.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from editloop.errors import RecipeError
from editloop.kernel.steps import Drop, Keep, Outcome, StepContext
from editloop.schema import EditSample, Json, Provenance, canonical_json
from editloop.settings import Settings as BaseSettings
from editloop.sources.against import Comparison, ReferenceSet

__all__ = ["NOTE", "ContaminationSettings", "ContaminationStep", "found_in"]

NOTE = "contamination"  # among the parameters of a sample's provenance
_REASON = "contaminated: "
_BITS = 6  # JPEG of quality 75 moved no crop of our photos by more than 2, others are 16 apart


class ContaminationSettings(BaseSettings):
    """The test sets, how similar pictures must be, and whether matching samples are dropped."""

    against: tuple[str, ...] = Field(
        min_length=1, description="lists of hashes, or LAYOUT:PATH of local data sets"
    )
    drop: bool = False
    distance: int = Field(default=_BITS, ge=0, le=16, description="bits of 64 that may differ")


class ContaminationStep:
    """Record what samples share with test sets, or drop those samples."""

    Settings = ContaminationSettings
    name = "contamination"
    version = "1"
    needs = frozenset({"source"})
    adds: frozenset[str] = frozenset()

    def __init__(self, settings: ContaminationSettings) -> None:
        self._settings = settings
        self._sets = [ReferenceSet(spec) for spec in settings.against]
        self._comparison: Comparison | None = None

    @property
    def parameters(self) -> Mapping[str, Json]:
        return {
            "against": [each.identity for each in self._sets],
            "drop": self._settings.drop,
            "distance": self._settings.distance,
        }

    def setup(self, context: StepContext) -> None:
        self.prepare(context.cache)

    def prepare(self, cache: Path | None) -> None:
        """Read the lists; data sets are hashed once and their hashes stored in `cache`."""
        lists = [each.hashes(cache) for each in self._sets]
        names = [listed.name for listed in lists]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            fix = "give them different names: `editloop hashes ... --name`, or NAME=LAYOUT:PATH"
            raise RecipeError("two test sets have the same name", value=twice[0], fix=fix)
        self._comparison = Comparison(lists, self._settings.distance)

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        return [self._outcome(sample) for sample in batch]

    def _outcome(self, sample: EditSample) -> Outcome:
        assert self._comparison is not None  # set up
        found = self._comparison.found(sample)
        if not found:
            return Keep((sample,))
        if self._settings.drop:
            return Drop(f"{_REASON}{canonical_json(found)}")
        made = sample.provenance or Provenance(self.name, self.version)
        noted = replace(made, parameters={**made.parameters, NOTE: found})
        return Keep((replace(sample, provenance=noted),))


def found_in(reason: str) -> dict[str, list[str]] | None:
    """Return what was found, parsed from this step's drop reason; None for any other reason."""
    if not reason.startswith(_REASON):
        return None
    found: dict[str, list[str]] = json.loads(reason.removeprefix(_REASON))
    return found
