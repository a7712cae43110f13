"""Calibration of a pairwise judge: accuracy and position bias.

An edit without a fault is compared with the same edit with one, and with itself; which of them
comes first alternates. Each comparison is asked in both orders.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from editloop.judges.calibration.asking import digest_of
from editloop.judges.calibration.estimates import mean_of, rounded, share_of
from editloop.judges.calibration.pairs import VARIANTS, TruthPairs
from editloop.judges.pairwise import Comparison, Preference, position_bias
from editloop.judges.verdicts import Preferred
from editloop.kernel.chunks import Chunk, ChunkRunner, Computed
from editloop.kernel.resources import a_judge
from editloop.schema import PERSPECTIVES, Json, Unscored
from editloop.statistics.bootstrap import bootstrap_weights
from editloop.storage.commits import ShardKey
from editloop.storage.records import fingerprint
from editloop.storage.shards import ShardStore

__all__ = ["Comparer", "Comparing", "Known", "comparisons", "preference_results"]

_VERSION = "1"
_TABLE = "data"
_BATCH = 64
_EQUAL = "none"  # both edits are the same picture
_ROWS = pa.schema(
    [
        ("choice", pa.string()),
        ("there", pa.string()),
        ("back", pa.string()),
        ("text", pa.string()),
        ("reason", pa.string()),
    ]
)


class Comparer(Protocol):
    """A judge that chooses the better of two edits."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def compare(self, batch: Sequence[Comparison]) -> list[Preference | Unscored]: ...


@dataclass(frozen=True, slots=True)
class Known:
    """The better edit of a comparison, and the perspective in which the other has a fault."""

    edit: str
    family: str
    better: Preferred


def comparisons(pairs: TruthPairs, edits: int) -> Iterator[tuple[Comparison, Known]]:
    """Yield four comparisons of each edit: with one fault of each family, and with itself."""
    for index in range(edits):
        clean = pairs[index * VARIANTS]
        for at, family in enumerate((*PERSPECTIVES, _EQUAL)):
            other = pairs[index * VARIANTS + 1 + 2 * at + index % 2] if at < 3 else clean
            first = (index + at) % 2 == 0
            shown = (clean, other) if first else (other, clean)
            better: Preferred = "tie" if family == _EQUAL else "first" if first else "second"
            yield (
                Comparison(
                    f"{clean.facts.edit}/{family}",
                    clean.pair.source,
                    clean.pair.instruction,
                    *(each.pair.edited for each in shown),
                ),
                Known(clean.facts.edit, family, better),
            )


class Comparing:
    """A judge with a cache of its preferences; `asked` counts those that were not cached.

    `open` is true if some are missing for a transient cause, so that another run may get them.
    """

    def __init__(self, judge: Comparer, store: ShardStore) -> None:
        self.asked = 0
        self.open = False
        self._judge = judge
        self._store = store

    def preferences(self, cases: Sequence[Comparison]) -> list[Preference | Unscored]:
        """Return the preference in each comparison, committed in batches."""
        found: list[Preference | Unscored] = []
        with ChunkRunner() as runner:
            for done in runner.run(self._store, self._chunks(cases), a_judge()):
                if done.report is None:
                    rows = self._store.table(done.commits[_TABLE], "data", _ROWS)
                    found += map(_preference, rows.to_pylist())
                else:
                    self.asked += len(done.report)
                    self.open = self.open or _TABLE not in done.commits
                    found += done.report
        return found

    def _chunks(self, cases: Sequence[Comparison]) -> Iterator[Chunk]:
        judge = [self._judge.name, self._judge.version]
        for start in range(0, len(cases), _BATCH):
            batch = cases[start : start + _BATCH]
            digests = [
                digest_of((each.source, each.first, each.second), [each.id, each.instruction])
                for each in batch
            ]
            made_from = {"version": _VERSION, "judge": judge, "comparisons": digests}
            keys = {_TABLE: ShardKey(f"preferences-{start:05d}", fingerprint(made_from))}
            yield Chunk(None, keys, _compare, self._judge, batch, len(batch))


def _compare(judge: Comparer, batch: Sequence[Comparison], _: tuple[str, ...]) -> Computed:
    """Ask the judge; preferences that are missing only for now are reported and not stored."""
    found = judge.compare(batch)
    if any(isinstance(each, Unscored) and each.cause.may_pass_later for each in found):
        return Computed({}, found)
    return Computed({_TABLE: pa.Table.from_pylist(list(map(_row, found)), schema=_ROWS)}, found)


def preference_results(
    known: Sequence[Known],
    found: Sequence[Preference | Unscored],
    resamples: int,
    rng: np.random.Generator,
) -> dict[str, Json]:
    """Return how often the better edit won (a tie counts half), and the position bias.

    `place` is the mean over comparisons of 1 if the first position won in both orders, -1 if the
    second did, and 0 otherwise: 0 without a bias.
    """
    edits = [each.edit for each in known]
    weights = bootstrap_weights(edits, resamples, rng)
    right = np.array([_right(*both) for both in zip(known, found, strict=True)])
    families = np.array([each.family for each in known])
    agreed = [
        np.nan if isinstance(each, Unscored) else each.orders[0] == each.orders[1] for each in found
    ]
    counts = position_bias(each for each in found if isinstance(each, Preference))
    reasons = Counter(each.reason for each in found if isinstance(each, Unscored))
    return {
        "comparisons": len(known),
        "right": {
            family: share_of(np.where(families == family, right, np.nan), edits)
            for family in (*PERSPECTIVES, _EQUAL)
        },
        "agreed": share_of(np.array(agreed, np.float64), edits),
        "first_place": counts.first_place,
        "second_place": counts.second_place,
        "half_tied": counts.half_tied,
        "place": mean_of(np.array([_place(each) for each in found]), weights),
        "coverage": rounded(1 - sum(reasons.values()) / len(known)),
        "unscored": dict(reasons.most_common()),
    }


def _right(known: Known, found: Preference | Unscored) -> float:
    if isinstance(found, Unscored):
        return np.nan
    if found.choice == known.better:
        return 1.0
    return 0.5 if "tie" in (found.choice, known.better) else 0.0


def _place(found: Preference | Unscored) -> float:
    if isinstance(found, Unscored):
        return np.nan
    counts = position_bias([found])
    return float(counts.first_place - counts.second_place)


def _row(found: Preference | Unscored) -> dict[str, Json]:
    if isinstance(found, Unscored):
        return {"reason": found.reason}
    there, back = found.orders
    return {"choice": found.choice, "there": there, "back": back, "text": found.text}


def _preference(row: dict[str, Json]) -> Preference | Unscored:
    if row["reason"] is not None:
        return Unscored(row["reason"])
    return Preference(row["choice"], (row["there"], row["back"]), row["text"])
