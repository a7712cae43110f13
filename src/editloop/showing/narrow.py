"""Tables for a terminal of 80 columns: wide tables are continued below, no number is cut off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from editloop.showing.terminal import escape, visible

__all__ = ["NarrowColumn", "interval", "print_line", "print_narrow"]

_WIDTH = 79  # without the table's right edge
_FIRST = 26  # maximum width of the first column; longer names are folded
_GAP = 3  # rich's padding around and between cells


@dataclass(frozen=True, slots=True)
class NarrowColumn:
    """A heading, folded if it is wider than the cells, and one cell per row."""

    head: str
    cells: Sequence[str]

    @property
    def width(self) -> int:
        """The width that the cells and the longest word of the heading need."""
        lines = [line for cell in self.cells for line in cell.splitlines()]
        return max(map(len, (*lines, *self.head.split())), default=1)


def print_line(text: str) -> None:
    """Print a line of text, folded at the terminal's width."""
    Console().print(escape(text), highlight=False)


def print_narrow(title: str, first: NarrowColumn, columns: Sequence[NarrowColumn]) -> None:
    """Print columns beside a first one, as several tables with the same first column if needed."""
    console = Console()
    first, columns = _visible(first), list(map(_visible, columns))
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
    """Return an interval in a short form, such as `3-5%` or `-1 to 2`."""
    return f"{low} to {high}" if low.startswith("-") else f"{low.removesuffix('%')}-{high}"


def _visible(column: NarrowColumn) -> NarrowColumn:
    return NarrowColumn(visible(column.head), list(map(visible, column.cells)))


def _first_width(first: NarrowColumn) -> int:
    return min(_FIRST, max(first.width, len(first.head)))


def _fitting(
    first: NarrowColumn, columns: Sequence[NarrowColumn]
) -> Iterator[Sequence[NarrowColumn]]:
    """Yield groups of columns that fit beside the first; each group has at least one."""
    start, used = 0, 0
    room = _WIDTH - _first_width(first) - _GAP
    for at, column in enumerate(columns):
        used += column.width + _GAP
        if used > room and at > start:
            yield columns[start:at]
            start, used = at, column.width + _GAP
    yield columns[start:]
