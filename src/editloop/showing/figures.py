"""Charts as deterministic inline SVG in the page's text colour."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PALETTE", "Axis", "Line", "Ring", "bars", "lines", "wheel"]

# Eight colours that are distinct on a light and on a dark page; editors take them in order.
PALETTE = ("#8a8f98", "#2a9d6f", "#e07b39", "#3f74d1", "#8e5bc4", "#d1578b", "#b8912b", "#3aa6b9")

_INK = "#010203"  # a placeholder for the page's text colour
_SIZE = (3.6, 2.3)  # inches at 100 px: a phone's width
_LARGE = (6.4, 4.0)
_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": _INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": _INK,
    "figure.facecolor": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.alpha": 0.15,
    "grid.color": _INK,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "editloop",
    "text.color": _INK,
    "text.parse_math": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
}

# Let the page scale the figure and set its fonts; keep only ids that something refers to.
_REWRITES = tuple(
    (re.compile(pattern, re.DOTALL), replacement)
    for pattern, replacement in (
        (r' width="[\d.]+pt" height="[\d.]+pt"', ""),
        (r"<style.*?</style>", ""),
        (r"font-family: [^;\"]*", "font-family: inherit"),
        (r' id="(?![pm][0-9a-f]{10}")[^"]*"', ""),
    )
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart; `low` and `high` are the ends of whiskers, `labels` name the points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    marked: bool = False
    faint: bool = False
    labels: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Axis:
    """The axes of a chart; a `large` chart stands alone."""

    x: str
    y: str = ""
    percent: bool = False
    ticks: Sequence[float] = field(default_factory=tuple)
    top: float | None = None
    large: bool = False


@dataclass(frozen=True, slots=True)
class Ring:
    """A sector of a wheel: its name and count inside, the counts of its parts outside."""

    name: str
    count: int
    parts: Sequence[tuple[str, int]]


def lines(curves: Sequence[Line], axis: Axis, alt: str) -> Markup:
    """Return a line chart; `alt` is its description in words."""
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(axis)
        for at, curve in enumerate(curves):
            shift = 0.03 * (at - (len(curves) - 1) / 2) if curve.low else 0.0
            x = [value + shift for value in curve.x]  # keep whiskers apart
            axes.plot(
                x,
                curve.y,
                color=curve.colour,
                label=curve.name,
                linewidth=1 if curve.faint else 1.6,
                alpha=0.35 if curve.faint else 1,
                marker="o" if curve.marked else None,
                markersize=3.5,
            )
            if curve.low:
                axes.vlines(x, curve.low, curve.high, color=curve.colour, linewidth=1, alpha=0.45)
            _name_points(axes, curve, above=at % 2 == 0)
        return _svg(figure, alt)


def _name_points(axes: Axes, curve: Line, *, above: bool) -> None:
    """Label points above on the right or below on the left, beside a falling curve."""
    place, side = ((4, 3), "left") if above else ((-4, -10), "right")  # in points
    for x, y, text in zip(curve.x, curve.y, curve.labels, strict=bool(curve.labels)):
        axes.annotate(
            text, (x, y), place, textcoords="offset points", ha=side, fontsize=8, color=curve.colour
        )


def bars(
    counts: Mapping[float, int], axis: Axis, colour: str, alt: str, *, step: float = 0.5
) -> Markup:
    """Return a histogram of scores: the share at each value; values are multiples of `step`."""
    import matplotlib

    total = sum(counts.values())
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(axis)
        shares = [100 * count / total for count in counts.values()]
        axes.bar(list(counts), shares, width=0.84 * step, color=colour)
        axes.set_xlim(min(axis.ticks) - 0.8 * step, max(axis.ticks) + 0.8 * step)
        axes.grid(axis="x", visible=False)
        return _svg(figure, alt)


def wheel(rings: Sequence[Ring], alt: str) -> Markup:
    """Return a wheel of two rings; what a sector's parts leave of its count stays empty."""
    import matplotlib
    from matplotlib.figure import Figure

    colours = [PALETTE[1 + at % (len(PALETTE) - 1)] for at in range(len(rings))]
    outer = [
        (name, count, colour)
        for ring, colour in zip(rings, colours, strict=True)
        for name, count in (*ring.parts, ("", ring.count - sum(n for _, n in ring.parts)))
    ]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_LARGE[0], _LARGE[0]), dpi=100, layout="constrained")
        axes = figure.add_subplot()
        inner = [(ring.name, ring.count) for ring in rings]
        _ring(axes, inner, colours, radius=0.66, width=0.4)
        _ring(axes, [each[:2] for each in outer], [each[2] for each in outer], radius=1, width=0.33)
        return _svg(figure, alt)


_NARROWEST = 0.012  # share of a wheel that has room for a name


def _ring(
    axes: Axes,
    sectors: Sequence[tuple[str, int]],
    colours: Sequence[str],
    *,
    radius: float,
    width: float,
) -> None:
    """Draw one ring; sectors without a name are left empty, narrow ones unnamed."""
    total = sum(count for _, count in sectors)
    texts = [name if count >= _NARROWEST * total else "" for name, count in sectors]
    wedges, drawn = axes.pie(
        [count for _, count in sectors],
        colors=list(colours),
        labels=texts,
        radius=radius,
        labeldistance=(radius - width / 2) / radius,
        rotatelabels=True,
        startangle=90,
        counterclock=False,
        wedgeprops={"width": width, "edgecolor": "none", "alpha": 0.45},
        textprops={"fontsize": 8},
    )[:2]
    for (name, _), wedge, text in zip(sectors, wedges, drawn, strict=True):
        wedge.set_visible(bool(name))
        text.set(ha="center", va="center", rotation_mode="anchor")


def _figure(axis: Axis) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=_LARGE if axis.large else _SIZE, dpi=100, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(axis.x)
    axes.set_ylabel(axis.y)
    if len(axis.ticks):
        axes.set_xticks(list(axis.ticks))
    if axis.top is not None:
        axes.set_ylim(top=axis.top)
    if axis.percent:
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=100, decimals=0))
    return figure, axes


def _svg(figure: Figure, alt: str) -> Markup:
    """Return the figure as an `<svg>` element with a label, without ids that could collide."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    dropped = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(buffer, metadata=dropped)
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    opening = Markup('<svg role="img" aria-label="{}" ').format(alt)
    return opening + Markup(text.removeprefix("<svg "))  # matplotlib escaped it
