"""All questions of a calibration to one judge: the results in `calibration.json`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from editloop.chat.client import CostEstimate
from editloop.errors import RecipeError
from editloop.judges.calibration.against_truth import against_truth
from editloop.judges.calibration.asking import CachedJudge, Judged
from editloop.judges.calibration.cost import estimate_of
from editloop.judges.calibration.direction import ClipDirection
from editloop.judges.calibration.frozen import FrozenSet, freeze
from editloop.judges.calibration.pairs import SIZES, VARIANTS, TruthFacts, TruthPairs
from editloop.judges.calibration.people import Ratings, against_people
from editloop.judges.calibration.preferences import Comparing, comparisons, preference_results
from editloop.judges.calibration.rated import rated_pairs
from editloop.judges.calibration.sanity import check_sanity
from editloop.judges.calibration.sanity_cases import VARIANTS as CASES
from editloop.judges.calibration.sanity_cases import SanityFacts, sanity_cases
from editloop.judges.calibration.scales import SCALES, check_scales
from editloop.judges.calibration.settings import CalibrationSettings
from editloop.judges.calibration.stability import drift, repeatability
from editloop.judges.specs import in_round
from editloop.registry import Spec
from editloop.runtime.seeding import generator
from editloop.schema import EditedPair, EditType, Json
from editloop.sources.layouts import Layout
from editloop.storage.shards import ShardStore

__all__ = ["Answers", "Beside", "Calibration", "Watch"]

# Shows the progress of some cases. Arguments: a description, the number of cases, the cases.
Watch: TypeAlias = Callable[[str, int, Iterable[Any]], Iterable[Any]]

_REPEATED = 48  # pairs that are judged repeatedly


@dataclass(frozen=True, slots=True)
class Beside:
    """Other data that a judge is compared with: an earlier frozen set, and people's ratings.

    `direction` is CLIP's, which is compared with the ratings too.
    """

    frozen: FrozenSet | None = None
    ratings: Ratings | None = None
    data: Layout | None = None
    direction: ClipDirection | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """Results as JSON, verdicts on pairs with recorded faults, and whether some are missing."""

    results: dict[str, Json]
    judged: Judged[TruthFacts] | None
    open: bool


class Calibration:
    """A judge and all its questions; verdicts are cached in a store."""

    def __init__(
        self, spec: Spec, settings: CalibrationSettings, store: ShardStore, watch: Watch
    ) -> None:
        self.settings = settings
        self.pairs = TruthPairs(settings.seed, settings.edits)
        self._spec = spec
        self._store = store
        self._watch = watch
        self._open = ExitStack()
        self.judge = self._judge_of(0)
        check_scales(getattr(self.judge, "scales", {}))
        self.compares = hasattr(self.judge, "compare")
        if not self.compares and not SCALES.keys() & set(self.judge.perspectives):
            raise RecipeError(
                "this judge scores no perspective that a calibration supports",
                value=", ".join(self.judge.perspectives),
                fix=f"calibrate a judge of one of: {', '.join(SCALES)}",
            )

    def close(self) -> None:
        """Close the judges."""
        self._open.close()

    def answers(self, beside: Beside, keep: Path) -> Answers:
        """Ask all questions and return the results; writes a frozen set to `keep`."""
        if self.compares:
            return self._compared()
        asking = CachedJudge(self.judge, self._store)
        judged = asking.judged("truth", self._truth_cases())
        results = {
            "truth": {
                "sizes": list(SIZES),
                "variants": VARIANTS,
                **against_truth(judged, *self._bootstrap("truth")),
            },
            "sanity": self._sanity(asking),
            "repeats": self._repeats(asking, judged),
            "drift": self._drift(asking, beside.frozen),
            "people": self._people(asking, judged, beside),
            "preferences": _none("this judge scores one edit at a time, and compares no two"),
        }
        self._freeze(keep, judged)
        return Answers(results, judged, asking.open)

    def estimate(self, beside: Beside) -> CostEstimate:
        """Return the cost estimate of a judge that asks a server; asks nothing."""
        if self.compares:
            return estimate_of([(self.judge, (case for case, _ in self._comparisons()))])
        own = [self._truth_cases(), self._sanity_cases()]
        if beside.frozen is not None:
            own.append(self._frozen_cases(beside.frozen))
        if beside.ratings is not None and beside.data is not None:
            own.append(self._rated_cases(beside.ratings, beside.data))
        asked = [(self.judge, cases) for cases in own]
        rounds = range(1, self.settings.repeats)
        asked += [(self._judge_of(each), self._round_cases(each)) for each in rounds]
        return estimate_of((judge, (pair for pair, _ in cases)) for judge, cases in asked)

    def _compared(self) -> Answers:
        """Return the results of a pairwise judge."""
        comparing = Comparing(self.judge, self._store)
        cases = list(self._comparisons())
        found = comparing.preferences([case for case, _ in cases])
        known = [known for _, known in cases]
        preferences = preference_results(known, found, *self._bootstrap("preferences"))
        nothing = _none("this judge compares two edits, and scores none")
        parts = dict.fromkeys(("truth", "sanity", "repeats", "drift", "people"), nothing)
        return Answers({**parts, "preferences": preferences}, None, comparing.open)

    def _sanity(self, asking: CachedJudge) -> dict[str, Json]:
        judged: Judged[SanityFacts] = asking.judged("sanity", self._sanity_cases())
        needs = getattr(self.judge, "needs", None)
        return check_sanity(judged, *self._bootstrap("sanity"), needs)

    def _repeats(self, asking: CachedJudge, judged: Judged[TruthFacts]) -> dict[str, Json]:
        """Judge the same pairs in several rounds, the first of which is `judged`."""
        rounds = [judged.only(self._repeated)]
        for number in range(1, self.settings.repeats):
            again = CachedJudge(self._judge_of(number), self._store, repeat=number)
            rounds.append(again.judged(f"round-{number}", self._round_cases(number)))
            asking.open = asking.open or again.open
        if len(rounds) == 1:
            return _none("the pairs were judged once")
        edits = [facts.edit for facts in rounds[0].facts]
        found = repeatability(rounds, edits, *self._bootstrap("repeats"))
        return {"pairs": len(edits), "rounds": len(rounds), "perspectives": found}

    def _drift(self, asking: CachedJudge, frozen: FrozenSet | None) -> dict[str, Json]:
        if frozen is None:
            return _none("no frozen set was given")
        now = asking.judged("frozen", self._frozen_cases(frozen))
        return {
            "then": {"judge": frozen.judge, "version": frozen.version},
            "pairs": len(frozen.edits),
            "perspectives": drift(frozen.judged, now, frozen.edits, *self._bootstrap("drift")),
        }

    def _people(
        self, asking: CachedJudge, judged: Judged[TruthFacts], beside: Beside
    ) -> dict[str, Json]:
        if beside.ratings is None:
            return _none("no ratings were given")
        ids = set(beside.ratings.ids)
        if beside.data is None:
            rows = [row for row, facts in enumerate(judged.facts) if facts.id in ids]
            rated = judged.only(rows).labelled([judged.facts[row].id for row in rows])
            pairs = (self.pairs[row].pair for row in rows)
        else:
            rated = asking.judged("rated", self._rated_cases(beside.ratings, beside.data))
            pairs = (pair for pair, _ in self._rated_cases(beside.ratings, beside.data))
        if not rated.facts:
            raise RecipeError(
                "none of the rated ids is in the data",
                value=beside.ratings.ids[0],
                fix="name the `data` that was rated",
            )
        direction = None if beside.direction is None else beside.direction.points(pairs)
        found = against_people(rated, beside.ratings, *self._bootstrap("people"), direction)
        return {"not_found": len(ids) - len(rated.facts), "perspectives": found}

    def _freeze(self, keep: Path, judged: Judged[TruthFacts]) -> None:
        pairs = ((pair, facts.edit) for pair, facts in self._some(self._repeated))
        judge = self.judge.name, self.judge.version
        freeze(keep, list(pairs), judged.only(self._repeated), judge)

    @property
    def _repeated(self) -> range:
        """The rows of the pairs that are judged repeatedly, spread evenly."""
        stride = max(1, len(self.pairs) // _REPEATED) | 1  # odd, so that every variant occurs
        return range(0, len(self.pairs), stride)

    def _some(self, rows: range) -> Iterator[tuple[EditedPair, TruthFacts]]:
        return ((each.pair, each.facts) for each in map(self.pairs.__getitem__, rows))

    def _truth_cases(self) -> Iterable[Any]:
        rows = range(len(self.pairs))
        return self._watch("recorded faults", len(rows), self._some(rows))

    def _sanity_cases(self) -> Iterable[Any]:
        count = max(len(EditType), self.settings.edits // 2)
        return self._watch("sanity", count * len(CASES), sanity_cases(self.settings.seed, count))

    def _round_cases(self, number: int) -> Iterable[Any]:
        rows = self._repeated
        return self._watch(f"round {number + 1}", len(rows), self._some(rows))

    def _frozen_cases(self, frozen: FrozenSet) -> Iterable[Any]:
        return self._watch("frozen set", len(frozen.edits), frozen.pairs())

    def _rated_cases(self, ratings: Ratings, data: Layout) -> Iterable[Any]:
        ids = set(ratings.ids)
        return self._watch("rated pairs", len(ids), rated_pairs(data, ids))

    def _comparisons(self) -> Iterable[Any]:
        edits = self.settings.edits
        return self._watch("preferences", 4 * edits, comparisons(self.pairs, edits))

    def _bootstrap(self, part: str) -> tuple[int, np.random.Generator]:
        return self.settings.resamples, generator(self.settings.seed, "calibration", part)

    def _judge_of(self, number: int) -> Any:
        """Return the judge for a round of repeats."""
        judge = in_round(self._spec, number).create("judge")
        if hasattr(judge, "close"):
            self._open.callback(judge.close)
        return judge


def _none(reason: str) -> dict[str, Json]:
    return {"reason": reason}
