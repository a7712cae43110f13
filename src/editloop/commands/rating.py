"""The command that ranks editors by people's votes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from editloop.showing.terminal import say

__all__ = ["ranking"]


def ranking(
    votes: Annotated[Path, typer.Argument(help="A CSV of votes or ratings, or a study's folder.")],
    out: Annotated[Path, typer.Option(help="The folder for ranking.json and its page.")] = Path(
        "runs/ranking"
    ),
    levels: Annotated[
        str | None,
        typer.Option(
            metavar="LOW,HIGH", help="The levels of ratings, such as 1,5: means are of 0 to 100."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the bootstraps.")] = 0,
) -> None:
    """Rank editors by people's votes, or average their ratings, with honest intervals.

    A CSV of votes has the columns item, editor_a, editor_b, question, answer (a, b, tie or
    both_bad), rater, and order (ab or ba) if it is known; one of ratings has item, editor,
    question, value, rater.
    """
    from editloop.rating.ranking import rank
    from editloop.rating.table import print_ranking

    ends = None if levels is None else _ends(levels)
    print_ranking(rank(votes, out, levels=ends, seed=seed))
    say(f"ranking: {out / 'ranking.html'}")


def _ends(levels: str) -> tuple[float, float]:
    """Return the two numbers of `LOW,HIGH`."""
    try:
        low, high = (float(each) for each in levels.split(","))
    except ValueError:
        raise typer.BadParameter(f"{levels!r} is not LOW,HIGH, such as 1,5") from None
    if not low < high:
        raise typer.BadParameter(f"{low:g} is not below {high:g}")
    return low, high
