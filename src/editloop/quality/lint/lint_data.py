"""The verb `lint`: find defects of a data set, as one call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from editloop.errors import ImageError
from editloop.filters.problems import decoded, picture_problems
from editloop.judges.specs import settled
from editloop.quality.chunks import gathered, stored_bytes
from editloop.quality.lint.findings import DEFECTS, NEEDS_A_MODEL, Finding, finding
from editloop.quality.lint.judging import FollowingCheck
from editloop.quality.lint.mending import mend_data
from editloop.quality.lint.page import LintExamples, write_lint_page
from editloop.quality.lint.repeats import Repeats
from editloop.quality.lint.texts import text_problems
from editloop.registry import parse_spec
from editloop.runtime.machine import cores
from editloop.runtime.prefetching import prefetched
from editloop.schema import EditSample, Json, Judge, readable_json
from editloop.sources.against import Comparison, ReferenceSet
from editloop.sources.entries import Problem
from editloop.sources.hashes import PictureHash, pixel_hash
from editloop.sources.layouts import layout_of, open_index
from editloop.sources.reading import IndexedLayout
from editloop.storage.files import Files, explained, replace_file

__all__ = ["lint_data"]

_VERSION = "1"
_BITS = 6  # of 64 in which a picture may differ from a test set's
_NO_EDIT = frozenset({"unchanged", "aspect", "placeholder"})  # a judge is not asked about these
_JUDGED_AT_ONCE = 32  # samples
_BYTES = 64_000_000  # of their encoded pictures
# What a layout rejects a sample for and the checks of samples name more exactly.
_OF_LAYOUTS = frozenset({"aspect", "mask-empty", "unreadable"})


def lint_data(
    data: str | Path,
    out: str | Path,
    *,
    layout: str | None = None,
    against: Sequence[str] = (),
    smallest: int = 64,
    judge: str | None = None,
    repair: bool = False,
) -> dict[str, Json]:
    """Find the defects of a data set; write `lint.json` and a page, return the JSON's content.

    `layout` is KIND[?key=value] (default: detected). `against` are test sets whose samples must not
    be in the data: files of hashes, or LAYOUT:PATH. `smallest` is the least short side of a picture
    in pixels. `judge` is the SPEC of a judge that scores following: it finds `swapped` and
    `unfit-instruction`, and keeps its replies in `out`. `findings` has one entry for each defect
    (id, code, message, repair), `counts` the number of findings of each code, `not_looked_for`
    what was not sought, with the reason, and `not_judged` how often the judge could not tell, by
    reason. With `repair`, the run folder `out`/mended gets the repaired data set, and the content
    returned has its counts as `mended`.
    """
    folder, place = Path(data).expanduser(), Path(out)
    spec = parse_spec(layout or layout_of(folder), "layout")
    data_set = IndexedLayout(open_index(spec.kind, folder, **spec.settings))
    comparison = _comparison(against)
    repeats, examples = Repeats(), LintExamples()
    findings: list[Finding] = []
    samples = 0
    ids: set[str] = set()
    check = None if judge is None else FollowingCheck(_made_judge(judge, place))
    sessions = prefetched(partial(_check, smallest=smallest), data_set.with_problems(), cores())
    for checked, problems in sessions if check is None else _judged(sessions, check):
        samples += max(1, len(checked))
        codes = set()
        for each in checked:
            sample, every = each.sample, [*each.problems, *_shared(each, repeats, comparison)]
            if sample.id in ids:
                every.append(("faulty", "its id is used twice"))
            ids.add(sample.id)
            found = [finding(sample.id, code, value) for code, value in every]
            findings += found
            codes |= {code for code, _ in every}
            examples.add(sample, found)
        if not codes & _OF_LAYOUTS:
            findings += [finding(each.where, "faulty", each.cause) for each in problems]
    results = {
        "version": _VERSION,
        "data": folder.resolve().name,
        "samples": samples,
        "counts": _counts(findings),
        "not_looked_for": _not_looked_for(against, judged=check is not None),
        "not_judged": {} if check is None else dict(check.unscored.most_common()),
        "findings": [asdict(each) for each in findings],
    }
    with explained("write lint's findings", place):
        place.mkdir(parents=True, exist_ok=True)
        replace_file(Files(), place / "lint.json", readable_json(results))
    write_lint_page(results, examples, place / "lint.html")
    if repair:
        mended = mend_data(folder, spec, place / "lint.json", place / "mended")
        return {**results, "mended": mended}
    return results


@dataclass(frozen=True, slots=True)
class _Checked:
    """A sample, the code and the value of each of its own problems, and its pictures' hashes."""

    sample: EditSample
    problems: list[tuple[str, str]]
    source: PictureHash | None = None
    target: PictureHash | None = None

    @property
    def can_be_judged(self) -> bool:
        """Return whether there is an edit to judge."""
        known = self.source is not None and self.target is not None
        return known and not any(code in _NO_EDIT for code, _ in self.problems)


def _check(
    session: tuple[list[EditSample], list[Problem]], *, smallest: int
) -> tuple[list[_Checked], list[Problem]]:
    """Return a session's samples, checked, with the problems that the layout has with it."""
    samples, problems = session
    return [_check_sample(sample, smallest) for sample in samples], problems


def _check_sample(sample: EditSample, smallest: int) -> _Checked:
    """Check a sample; each of its pictures is decoded once."""
    problems = list(text_problems(sample))
    try:
        pictures = decoded(sample)
    except ImageError as error:
        return _Checked(sample, [*problems, ("unreadable", error.cause)])
    problems += picture_problems(pictures, smallest)
    source, target = (
        None if pixels is None else pixel_hash(pixels)
        for pixels in (pictures.source, pictures.target)
    )
    return _Checked(sample, problems, source, target)


def _shared(
    checked: _Checked, repeats: Repeats, comparison: Comparison | None
) -> Iterator[tuple[str, str]]:
    """Yield what a sample shares with others of the data set and with test sets."""
    sample = checked.sample
    if checked.source is None:
        return
    earlier = repeats.seen(sample.id, sample.instruction, checked.source, checked.target)
    if earlier is not None:
        yield earlier
    shared = {} if comparison is None else comparison.found(sample)
    for name, what in shared.items():
        yield "contaminated", f"{name} ({', '.join(what)})"


def _comparison(against: Sequence[str]) -> Comparison | None:
    if not against:
        return None
    return Comparison([ReferenceSet(each).hashes(None) for each in against], _BITS)


def _counts(findings: Sequence[Finding]) -> dict[str, int]:
    counted: Counter[str] = Counter(each.code for each in findings)
    return {code: counted[code] for code in DEFECTS if counted[code]}


def _judged(
    sessions: Iterable[tuple[list[_Checked], list[Problem]]], check: FollowingCheck
) -> Iterator[tuple[list[_Checked], list[Problem]]]:
    """Yield the sessions with what a judge finds; several are judged at a time."""
    for some in gathered(sessions, _JUDGED_AT_ONCE, _BYTES, count=_count, weigh=_weight):
        fit = [each for checked, _ in some for each in checked if each.can_be_judged]
        found = check.problems([each.sample for each in fit])
        for each, problem in zip(fit, found, strict=True):
            each.problems.extend([] if problem is None else [problem])
        yield from some


def _count(session: tuple[list[_Checked], list[Problem]]) -> int:
    return len(session[0])


def _weight(session: tuple[list[_Checked], list[Problem]]) -> int:
    return sum(stored_bytes(each.sample) for each in session[0])


def _made_judge(spec: str, place: Path) -> Judge:
    """Return the judge of a SPEC; one that asks a server keeps its replies in the folder."""
    ledger = place / ".editloop" / "ledger.sqlite"
    ledger.parent.mkdir(parents=True, exist_ok=True)
    judge: Judge = settled(parse_spec(spec, "judge"), {"ledger": str(ledger)}).create("judge")
    return judge


def _not_looked_for(against: Sequence[str], *, judged: bool) -> dict[str, str]:
    missing = {} if judged else dict.fromkeys(NEEDS_A_MODEL, "needs a judge (--judge)")
    return missing if against else {**missing, "contaminated": "no test set was given (--against)"}
