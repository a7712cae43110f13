"""The page of a ranking, `ranking.html`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from editloop.schema import Json
from editloop.showing.pages import write_page
from editloop.showing.tables import Cell, Column, Table

__all__ = ["write_ranking_page"]

_Row = Mapping[str, Json]


def write_ranking_page(results: _Row, path: Path, *, title: str) -> None:
    """Write the page of the results of `rank_judgements`; `title` names the votes."""
    counts = results["counts"]
    write_page(
        path,
        path.name,
        kind="ranking",
        title=title,
        tiles=_tiles(counts),
        results=results,
        questions={name: _tables(results, name) for name in counts},
        agreement=_agreement(results["agreement"]),
        judges={name: _judge(found) for name, found in results.get("judges", {}).items()},
    )


def _tiles(counts: _Row) -> dict[str, str]:
    each = list(counts.values())
    what = "votes" if "votes" in each[0] else "ratings"
    return {
        what: f"{sum(found[what] for found in each):,}",
        "items": f"{max(found['items'] for found in each):,}",
        "raters": f"{max(found['raters'] for found in each):,}",
        "questions": f"{len(each):,}",
    }


def _tables(results: _Row, question: str) -> dict[str, Table]:
    """Return the tables of a question by caption."""
    if "means" in results:
        return {"mean rating with 95% interval": _means(results["means"][question])}
    found = {"ranking, with 95% intervals": _ranking(results, question)}
    pairs = results.get("pairs", {}).get(question)
    if pairs:
        found["votes of each pair"] = _pairs(pairs)
    if question in results.get("trueskill", {}):
        found["TrueSkill as UltraEdit computes it, and how it depends on the order of votes"] = (
            _trueskill(results["trueskill"][question])
        )
    return found


def _means(found: Mapping[str, _Row]) -> Table:
    ordered = sorted(found.items(), key=lambda each: -each[1]["mean"])
    ends = [each[key] for _, each in ordered for key in ("low", "high")]
    rows = [
        (name, [_interval(each, "mean", (min(ends), max(ends))), Cell(f"{each['count']:,}")])
        for name, each in ordered
    ]
    return Table([Column("mean"), Column("ratings")], rows)


def _ranking(results: _Row, question: str) -> Table:
    found = results["davidson"][question]
    counts = results["counts"][question]
    scored = [each for each in found.values() if each["score"] is not None]
    ends = [each[key] for each in scored for key in ("low", "high")] or [0, 1]
    halves = results.get("half_wins", {}).get(question, {})
    columns = ["score", "rank", "if all votes were independent", "ties as half wins", "both bad"]
    rows = []
    for name, each in sorted(found.items(), key=lambda one: -(one[1]["score"] or 0)):
        bad = Cell(f"{100 * counts['both_bad_share'][name]:.0f}%")
        if each["score"] is None:
            rows.append((name, [*(Cell("–", reason=each["reason"]) for _ in range(4)), bad]))
            continue
        ranks = {each["rank_low"], each["rank_high"]}
        naive = f"{each['naive_low']:.2f} to {each['naive_high']:.2f}"
        cells = [
            _interval(each, "score", (min(ends), max(ends))),
            Cell(" to ".join(map(str, sorted(ranks)))),
            Cell(naive),
            Cell(f"{halves[name]:.2f}"),
            bad,
        ]
        rows.append((name, cells))
    return Table([Column(name) for name in columns], rows)


def _interval(found: _Row, key: str, scale: tuple[float, float]) -> Cell:
    start, width = scale[0], (scale[1] - scale[0]) or 1
    left, right, at = (
        round(100 * (found[each] - start) / width, 1) for each in ("low", "high", key)
    )
    text = f"{found['low']:.2f} to {found['high']:.2f}"
    return Cell(f"{found[key]:.2f}", text, left, right, at)


def _pairs(pairs: list[_Row]) -> Table:
    rows = []
    for pair in pairs:
        total = pair["a"] + pair["b"] + pair["tie"]
        share = f"{100 * (pair['a'] + pair['tie'] / 2) / total:.0f}%"
        cells = [Cell(f"{pair[key]:,}") for key in ("a", "tie", "b")]
        rows.append((f"{pair['editor_a']} – {pair['editor_b']}", [*cells, Cell(share)]))
    heads = ("first preferred", "tie", "second preferred", "share of the first")
    return Table([Column(head) for head in heads], rows)


def _trueskill(found: Mapping[str, _Row]) -> Table:
    ends = [each[key] for each in found.values() for key in ("low", "high")]
    rows = [
        (
            name,
            [
                Cell(f"{each['mu']:.1f} ± {each['sigma']:.1f}"),
                Cell(f"{each['order_spread']:.2f}"),
                _interval(each, "shuffled_mean", (min(ends), max(ends))),
            ],
        )
        for name, each in sorted(found.items(), key=lambda one: -one[1]["mu"])
    ]
    heads = ("as UltraEdit", "deviation over orders", "mean over orders, without drift")
    return Table([Column(head) for head in heads], rows)


def _agreement(found: Mapping[str, _Row]) -> Table:
    rows = []
    for name, each in found.items():
        if each["alpha"] is None:
            alpha = Cell("–", reason=each["reason"])
        else:
            interval = f"{each['low']:.2f} to {each['high']:.2f}"
            alpha = Cell(f"{each['alpha']:.2f}", interval, *_alpha_bar(each))
        same = each["self_consistency"]
        cells = [
            alpha,
            Cell(f"{each['shared_units']:,} of {each['units']:,}"),
            Cell("–" if same is None else f"{100 * same:.0f}% of {each['repeats']:,}"),
        ]
        rows.append((name, cells))
    heads = ("Krippendorff's alpha", "answered by several raters", "same answer when asked again")
    return Table([Column(head) for head in heads], rows)


def _alpha_bar(found: _Row) -> tuple[float, float, float]:
    low, high, at = (round(100 * max(0.0, found[key]), 1) for key in ("low", "high", "alpha"))
    return low, high, at


def _judge(found: Mapping[str, _Row]) -> Table:
    """Return a judge's agreement with people, by question."""
    rows = []
    for question, each in found.items():
        value = each.get("mean", each.get("pearson"))
        if value is None:
            rows.append((question, [Cell("–", reason=each["reason"]), Cell(f"{each['count']:,}")]))
            continue
        interval = f"{each['low']:.2f} to {each['high']:.2f}"
        rows.append((question, [Cell(f"{value:.2f}", interval), Cell(f"{each['count']:,}")]))
    head = "Pearson's r" if any("pearson" in each for each in found.values()) else "same answer"
    return Table([Column(f"{head} as people"), Column("cases")], rows)
