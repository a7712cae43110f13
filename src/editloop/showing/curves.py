"""Charts of a benchmark's numbers over the turns of a session and over a protocol's sweep."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from editloop.schema import Json
from editloop.showing.figures import Axis, Line, lines
from editloop.showing.labels import amount, label

__all__ = ["sweep_chart", "turn_chart"]


def turn_chart(
    slices: Mapping[str, Json], colours: Mapping[str, str], metric: str
) -> Markup | None:
    """Return a chart of a metric over the turns of a session; None if there is only one turn."""
    scale = 100 if "_accuracy" in metric else 1
    curves, descriptions = [], []
    for editor, colour in colours.items():
        by_turn = slices.get(editor, {}).get("turn", {})
        turns = [
            turn for turn in sorted(by_turn, key=int) if _mean(by_turn[turn], metric) is not None
        ]
        entries = [by_turn[turn][metric] for turn in turns]
        low, mean, high = (
            [scale * each[key] for each in entries] for key in ("low", "mean", "high")
        )
        curves.append(
            Line(editor, [int(turn) for turn in turns], mean, colour, low, high, marked=True)
        )
        descriptions.append(
            f"{editor} {', '.join(amount(metric, each['mean']) for each in entries)}"
        )
    turns_seen = sorted({turn for curve in curves for turn in curve.x})
    if len(turns_seen) < 2:
        return None
    axis = Axis(x="turn", percent=scale == 100, ticks=turns_seen)
    return lines(curves, axis, f"{label(metric)} by turn: {'; '.join(descriptions)}")


def sweep_chart(
    scores: Mapping[str, Json], sweep: Mapping[str, Json], colours: Mapping[str, str]
) -> Markup | None:
    """Return a chart of one metric against another, with one line per editor.

    Points are labelled with the swept value. None if no editor has both numbers at two values.
    """
    across, up = sweep["across"], sweep["up"]
    curves, descriptions = [], []
    for editor in (name for name in colours if name in sweep["curves"]):
        points = [
            (x, y, f"{seat['value']:g}")
            for seat in sweep["curves"][editor]
            if (x := _mean(scores.get(seat["name"], {}), across)) is not None
            and (y := _mean(scores.get(seat["name"], {}), up)) is not None
        ]
        if len(points) < 2:
            continue
        xs, ys, names = zip(*points, strict=True)
        curves.append(Line(editor, xs, ys, colours[editor], marked=True, labels=names))
        points_text = (f"{name}: {amount(across, x)}, {amount(up, y)}" for x, y, name in points)
        descriptions.append(f"{editor} at {'; '.join(points_text)}")
    if not curves:
        return None
    axis = Axis(x=label(across), y=label(up), large=True)
    return lines(curves, axis, f"{label(up)} against {label(across)}: {'. '.join(descriptions)}")


def _mean(scores: Mapping[str, Json], metric: str) -> float | None:
    entry = scores.get(metric)
    return None if entry is None else entry["mean"]
