"""The page of lint's findings, `lint.html`: counts, and examples with their pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from editloop.quality.lint.findings import DEFECTS, Finding
from editloop.schema import EditSample, Json
from editloop.showing.pages import write_page
from editloop.showing.tables import Cell, Column, Table
from editloop.showing.triplets import Triplet, triplet

__all__ = ["LintExamples", "write_lint_page"]

_EXAMPLES = 6  # of each code


class LintExamples:
    """Keeps the first samples of each code, with their pictures made small."""

    def __init__(self) -> None:
        self.cards: dict[str, list[tuple[Triplet, str]]] = defaultdict(list)

    def add(self, sample: EditSample, findings: Sequence[Finding]) -> None:
        """Keep the sample for each of its codes that has too few examples."""
        for each in findings:
            cards = self.cards[each.code]
            if len(cards) < _EXAMPLES and each.code != "unreadable" and sample.source is not None:
                cards.append((triplet(sample), each.message))


def write_lint_page(results: Mapping[str, Json], examples: LintExamples, path: Path) -> None:
    """Write the page of the results of `lint_data`."""
    counts = results["counts"]
    affected = len({each["id"] for each in results["findings"]})
    write_page(
        path,
        path.name,
        kind="lint",
        title=results["data"],
        tiles={
            "samples": f"{results['samples']:,}",
            "with findings": f"{affected:,}",
            "findings": f"{sum(counts.values()):,}",
        },
        results=results,
        counts=_counts(counts, results["samples"]),
        meanings={code: each.meaning for code, each in DEFECTS.items()},
        examples={code: examples.cards[code] for code in counts if examples.cards.get(code)},
    )


def _counts(counts: Mapping[str, int], samples: int) -> Table:
    rows = []
    for code, count in counts.items():
        texts = (f"{count:,}", f"{100 * count / samples:.1f}%", DEFECTS[code].repair)
        rows.append((code, [Cell(text) for text in texts]))
    heads = [Column("findings"), Column("of the samples"), Column("repair")]
    return Table(heads, rows, notes={code: each.meaning for code, each in DEFECTS.items()})
