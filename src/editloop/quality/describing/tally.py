"""The counts of a description, edit by edit."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping

from editloop.generation.edit_type_rules import type_by_rules
from editloop.quality.describing.counting import Frequent, UniqueTexts
from editloop.quality.describing.keywords import keywords_of
from editloop.quality.describing.pictures import mask_kind, stated_size
from editloop.schema import EditSample, Json, Score
from editloop.sources.entries import Entry
from editloop.sources.taxonomies import ULTRA_EDIT, own_kind, plain_label

__all__ = ["DATA_TYPES", "INSTRUCTION_TYPES", "NOT_TYPED", "DataTally"]

NOT_TYPED = "not typed"
INSTRUCTION_TYPES = (
    *("change_color", "change_global", "change_local", "transform_global", "transform_local"),
    *("add", "replace", "turn", "others"),
    NOT_TYPED,
)
DATA_TYPES = ("free-form", "region-based", "unclear mask")

_VERBS, _OBJECTS = 20, 8  # of the keywords; self-instruct's wheel has 20 verbs and 4 objects
_SIZES = 20
_DIGITS = 3  # of a score's value where scores are counted
_UNSTATED = "not stated"


class DataTally:
    """Counts the edits of a data set; its memory does not grow with their number."""

    def __init__(self) -> None:
        self._edits = 0
        self._left_out: Counter[str] = Counter()
        self._turns: Counter[int] = Counter()
        self._instances: Counter[tuple[str, str]] = Counter()
        self._unique = UniqueTexts()
        self._unique_of_data = UniqueTexts()
        self._types: Counter[str] = Counter()
        self._words: Counter[int] = Counter()
        self._verbs: Counter[str] = Counter()
        self._keywords: Frequent[tuple[str, str]] = Frequent()
        self._sizes: dict[str, Frequent[str]] = defaultdict(Frequent)
        self._licences: Frequent[str] = Frequent()
        self._scores: dict[str, _ScoreTally] = defaultdict(_ScoreTally)

    @property
    def edits(self) -> int:
        """The number of edits so far."""
        return self._edits

    def leave_out(self, code: str) -> None:
        """Count an edit that cannot be used."""
        self._left_out[code] += 1

    def add(self, entry: Entry) -> None:
        """Count an edit."""
        sample = entry.sample
        self._edits += 1
        self._turns[sample.turn if sample.session else 1] += 1
        self._add_instruction(sample, mask_kind(entry.mask))
        self._types[sample.edit_type.value if sample.edit_type else NOT_TYPED] += 1
        for name in ("source", "target", "mask"):
            if name in entry.pictures:
                self._sizes[name].add(stated_size(entry.pictures[name]) or "unreadable")
        made = sample.provenance
        self._licences.add((made.licence if made else None) or _UNSTATED)
        for name, score in sample.scores.items():
            self._scores[name].add(score.value if isinstance(score, Score) else None)

    def _add_instruction(self, sample: EditSample, data_type: str) -> None:
        text = " ".join(sample.instruction.split())
        kind = _instruction_type(sample)
        self._instances[data_type, kind] += 1
        at = DATA_TYPES.index(data_type)
        self._unique.add(at * len(INSTRUCTION_TYPES) + INSTRUCTION_TYPES.index(kind), text)
        self._unique_of_data.add(at, text)
        self._words[len(text.split())] += 1
        found = keywords_of(text)
        self._verbs[found[0] if found else ""] += 1
        if found and found[1]:
            self._keywords.add((found[0], found[1]))

    def to_json(self) -> dict[str, Json]:
        """Return all counts."""
        return {
            "edits": self._edits,
            "left_out": dict(sorted(self._left_out.items())),
            "turns": {str(turn): count for turn, count in sorted(self._turns.items())},
            "instructions": self._instructions(),
            "edit_types": dict(sorted(self._types.items())),
            "words": self._lengths(),
            "keywords": self._wheel(),
            "sizes": {name: _most(each, _SIZES) for name, each in self._sizes.items()},
            "licences": _most(self._licences, None),
            "scores": {name: each.to_json() for name, each in sorted(self._scores.items())},
        }

    def _instructions(self) -> dict[str, Json]:
        """Return UltraEdit's Table 5: instances and different instructions by type."""
        kinds = len(INSTRUCTION_TYPES)
        unique = self._unique.counts(kinds * len(DATA_TYPES))
        of_data = self._unique_of_data.counts(len(DATA_TYPES))
        table = {}
        for at, data_type in enumerate(DATA_TYPES):
            instances = {kind: self._instances[data_type, kind] for kind in INSTRUCTION_TYPES}
            if any(instances.values()):
                own = unique[at * kinds : (at + 1) * kinds]
                table[data_type] = {
                    "instances": {**instances, "total": sum(instances.values())},
                    "unique": {
                        **dict(zip(INSTRUCTION_TYPES, own, strict=True)),
                        "total": of_data[at],
                    },
                }
        return table

    def _lengths(self) -> dict[str, Json]:
        """Return the histogram of the instructions' words, with mean and median."""
        ordered = sorted(self._words.items())
        total, seen = self._words.total(), 0
        mean = sum(length * count for length, count in ordered) / total if total else None
        median = None
        for length, count in ordered:
            seen += count
            if 2 * seen >= total:
                median = length
                break
        return {
            "histogram": {str(length): count for length, count in ordered},
            "mean": None if mean is None else round(mean, 4),
            "median": median,
        }

    def _wheel(self) -> dict[str, Json]:
        """Return the most frequent verbs, each with its most frequent objects."""
        objects: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for (verb, thing), count in self._keywords.top():
            objects[verb].append((thing, count))
        counted = {verb: count for verb, count in self._verbs.items() if verb}
        ranked = sorted(counted, key=lambda verb: (-counted[verb], verb))[:_VERBS]
        return {
            "verbs": [
                {
                    "verb": verb,
                    "count": counted[verb],
                    "objects": [list(each) for each in objects[verb][:_OBJECTS]],
                }
                for verb in ranked
            ],
            "without_verb": self._verbs[""],
        }


class _ScoreTally:
    """The distribution of a score."""

    def __init__(self) -> None:
        self._values: Frequent[float] = Frequent()
        self._unscored = 0
        self._sum = 0.0

    def add(self, value: float | None) -> None:
        if value is None or not math.isfinite(value):
            self._unscored += 1
            return
        self._sum += value
        self._values.add(float(f"{value:.{_DIGITS}g}"))

    def to_json(self) -> dict[str, Json]:
        scored = self._values.total
        return {
            "scored": scored,
            "unscored": self._unscored,
            "mean": round(self._sum / scored, 6) if scored else None,
            "values": [list(each) for each in sorted(self._values.top())],
        }


def _instruction_type(sample: EditSample) -> str:
    """Return UltraEdit's type: as recorded, as the data set's own label, or by plain rules."""
    facts: Mapping[str, Json] = {} if sample.provenance is None else sample.provenance.parameters
    for label in (facts.get("ultra_edit_type"), own_kind(sample)):
        if label is not None and plain_label(label) in ULTRA_EDIT:
            return plain_label(label)
    found = type_by_rules(sample.instruction)
    return NOT_TYPED if found is None else found[1]


def _most(counts: Frequent[str], number: int | None) -> Json:
    top = counts.top(number)
    others = counts.total - sum(count for _, count in top)
    return {"most": [list(each) for each in top], "others": others}
