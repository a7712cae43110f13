"""Tables for a terminal of 80 columns: wide ones go on below, and no number is cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

__all__ = ["NarrowColumn", "interval", "print_line", "print_narrow"]

_WIDTH = 79  # without the table's last edge
_FIRST = 26  # the most that the first column takes; longer names are folded
_GAP = 3  # what rich puts around and between cells


@dataclass(frozen=True, slots=True)
class NarrowColumn:
    """A heading, folded where it is wider than the cells, and a cell for each row."""

    head: str
    cells: Sequence[str]

    @property
    def width(self) -> int:
        """What the cells need, and the heading's words."""
        lines = [line for cell in self.cells for line in cell.splitlines()]
        return max(map(len, (*lines, *self.head.split())), default=1)


def print_line(text: str) -> None:
    """Print words beside a table, folded where the terminal ends."""
    Console().print(escape(text), highlight=False)


def print_narrow(title: str, first: NarrowColumn, columns: Sequence[NarrowColumn]) -> None:
    """Print columns beside a first one, which is repeated where they don't fit together."""
    console = Console()
    for at, some in enumerate(_fitting(first, columns)):
        shown = escape(title) if at == 0 else None
        table = Table(title=shown, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD)
        table.add_column(escape(first.head), width=_first_width(first), overflow="fold")
        for column in some:
            table.add_column(escape(column.head), width=column.width, overflow="fold")
        for row in zip(first.cells, *(column.cells for column in some), strict=True):
            table.add_row(*map(escape, row))
        console.print(table)


def interval(low: str, high: str) -> str:
    """Two bounds as short as they can be read."""
    return f"{low} to {high}" if low.startswith("-") else f"{low.removesuffix('%')}-{high}"


def _first_width(first: NarrowColumn) -> int:
    return min(_FIRST, max(first.width, len(first.head)))


def _fitting(
    first: NarrowColumn, columns: Sequence[NarrowColumn]
) -> Iterator[Sequence[NarrowColumn]]:
    """The columns in runs that fit beside the first; one always does."""
    start, used = 0, 0
    room = _WIDTH - _first_width(first) - _GAP
    for at, column in enumerate(columns):
        used += column.width + _GAP
        if used > room and at > start:
            yield columns[start:at]
            start, used = at, column.width + _GAP
    yield columns[start:]
