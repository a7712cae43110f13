"""A judge with a cache of its verdicts, keyed by the content of the cases and the judge.

A verdict that is missing for a transient cause (server down, budget spent) is not cached, so that
the next run asks again. A judge with its own ledger then repeats no call that was answered.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from editloop.judges.calibration.scales import SCALES, points
from editloop.judges.missing_verdicts import NO_VERDICT
from editloop.kernel.chunks import Chunk, ChunkRunner, Computed
from editloop.kernel.resources import a_judge
from editloop.schema import (
    EditedPair,
    Json,
    Judge,
    Mask,
    Pixels,
    Score,
    Unscored,
    Verdict,
    canonical_json,
)
from editloop.storage.commits import ShardKey
from editloop.storage.records import fingerprint
from editloop.storage.shards import ShardStore

__all__ = ["CachedJudge", "Judged", "digest_of", "in_batches"]

_VERSION = "1"
_BATCH = 64
_TABLE = "data"
_SCORES = pa.schema(
    [
        ("pair", pa.int32()),
        ("perspective", pa.string()),
        ("value", pa.float64()),
        ("passed", pa.bool_()),
        ("text", pa.string()),
        ("reason", pa.string()),
    ]
)

_S = TypeVar("_S")
_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class Judged(Generic[_T]):
    """A judge's verdicts on some pairs, whose `facts` are in the same order.

    Each perspective has a column of `points` of 100 and of `passed` (1 or 0), NaN if missing, of
    `texts`, and of `reasons` for missing scores.
    """

    facts: list[_T]
    points: dict[str, NDArray[np.float64]]
    passed: dict[str, NDArray[np.float64]]
    texts: dict[str, list[str | None]]
    reasons: dict[str, list[str | None]]

    @property
    def perspectives(self) -> tuple[str, ...]:
        return tuple(self.points)

    def only(self, rows: Sequence[int]) -> Judged[_T]:
        """Return the columns of some rows."""
        return Judged(
            [self.facts[row] for row in rows],
            {name: column[rows] for name, column in self.points.items()},
            {name: column[rows] for name, column in self.passed.items()},
            {name: [column[row] for row in rows] for name, column in self.texts.items()},
            {name: [column[row] for row in rows] for name, column in self.reasons.items()},
        )

    def labelled(self, facts: Sequence[_S]) -> Judged[_S]:
        """Return the columns with other facts of the same pairs."""
        return Judged(list(facts), self.points, self.passed, self.texts, self.reasons)

    @classmethod
    def of(
        cls, facts: Sequence[_T], verdicts: Sequence[Verdict], perspectives: Sequence[str]
    ) -> Judged[_T]:
        """Return the columns of some verdicts."""
        made: Judged[_T] = cls(list(facts), {}, {}, {}, {})
        for name in perspectives:
            scores = [verdict.get(name, NO_VERDICT) for verdict in verdicts]
            found = [points(name, score) for score in scores]
            made.points[name] = np.array([value for value, _ in found], np.float64)
            made.passed[name] = np.array([_passed(name, score) for score in scores], np.float64)
            made.texts[name] = [each.text if isinstance(each, Score) else None for each in scores]
            made.reasons[name] = [reason for _, reason in found]
        return made


class CachedJudge:
    """A judge with a cache of its verdicts; `asked` counts the pairs that were not cached.

    `open` is true if some are missing for a transient cause, so that another run may get them.
    """

    def __init__(self, judge: Judge, store: ShardStore, *, repeat: int = 0) -> None:
        self.asked = 0
        self.open = False
        self._judge = judge
        self._store = store
        self._repeat = repeat

    @property
    def perspectives(self) -> tuple[str, ...]:
        """The perspectives that the judge scores and that calibration supports."""
        return tuple(name for name in self._judge.perspectives if name in SCALES)

    def judged(self, name: str, cases: Iterable[tuple[EditedPair, _T]]) -> Judged[_T]:
        """Return the verdicts on the pairs, which are streamed, and commit them under a name."""
        facts: list[_T] = []
        verdicts: list[Verdict] = []
        with ChunkRunner() as runner:
            for done in runner.run(self._store, self._chunks(name, cases), a_judge()):
                own, count = done.about
                facts += own
                if done.report is None:
                    rows = self._store.table(done.commits[_TABLE], "data", _SCORES)
                    verdicts += _verdicts(rows.to_pylist(), count)
                else:
                    self.asked += count
                    self.open = self.open or _TABLE not in done.commits
                    verdicts += done.report
        return Judged.of(facts, verdicts, self.perspectives)

    def _chunks(self, name: str, cases: Iterable[tuple[EditedPair, _T]]) -> Iterator[Chunk]:
        for index, batch in enumerate(in_batches(cases)):
            pairs = [pair for pair, _ in batch]
            made_from = {
                "version": _VERSION,
                "judge": [self._judge.name, self._judge.version],
                "pairs": [_digest(pair) for pair in pairs],
                "repeat": self._repeat,
            }
            keys = {_TABLE: ShardKey(f"{name}-{index:05d}", fingerprint(made_from))}
            about = [fact for _, fact in batch], len(batch)
            yield Chunk(about, keys, _judge, self._judge, pairs, len(pairs))


def _judge(judge: Judge, pairs: Sequence[EditedPair], _: tuple[str, ...]) -> Computed:
    """Ask the judge; verdicts that are missing only for now are reported and not stored."""
    verdicts = judge.judge(pairs)
    scores = (score for verdict in verdicts for score in verdict.values())
    if any(isinstance(each, Unscored) and each.cause.may_pass_later for each in scores):
        return Computed({}, verdicts)
    rows = pa.Table.from_pylist(list(_rows(verdicts)), schema=_SCORES)
    return Computed({_TABLE: rows}, verdicts)


def _passed(perspective: str, score: Score | Unscored) -> float:
    if isinstance(score, Unscored) or score.passed is None or points(perspective, score)[1]:
        return np.nan
    return float(score.passed)


def in_batches(cases: Iterable[_T]) -> Iterator[list[_T]]:
    """Yield the cases in the batches in which a judge gets them."""
    left = iter(cases)
    while batch := list(itertools.islice(left, _BATCH)):
        yield batch


def digest_of(pictures: Iterable[Pixels | Mask | None], words: Json) -> str:
    """Return a hash of everything in a case that a judge can see."""
    digest = hashlib.sha256()
    for pixels in pictures:
        if pixels is not None:
            digest.update(str(pixels.shape).encode())
            digest.update(pixels.tobytes())
        digest.update(b"\0")
    digest.update(canonical_json(words).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _digest(pair: EditedPair) -> str:
    captions = [pair.captions.source, pair.captions.target]
    kind = None if pair.edit_type is None else pair.edit_type.value
    pictures = (pair.source, pair.edited, pair.target, pair.mask)
    return digest_of(pictures, [pair.id, pair.instruction, captions, kind])


def _rows(verdicts: Sequence[Verdict]) -> Iterator[dict[str, Json]]:
    for at, verdict in enumerate(verdicts):
        for perspective, score in verdict.items():
            row: dict[str, Json] = {"pair": at, "perspective": perspective}
            if isinstance(score, Unscored):
                yield {**row, "reason": score.reason}
            else:
                yield {**row, "value": score.value, "passed": score.passed, "text": score.text}


def _verdicts(rows: Sequence[Mapping[str, Json]], count: int) -> list[Verdict]:
    found: defaultdict[int, dict[str, Score | Unscored]] = defaultdict(dict)
    for row in rows:
        found[row["pair"]][row["perspective"]] = (
            Score(row["value"], row["passed"], row["text"])
            if row["reason"] is None
            else Unscored(row["reason"])
        )
    return [found[at] for at in range(count)]
