"""The command that finds defects of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from editloop.commands.common import DataFolder, Layout
from editloop.showing.terminal import say

__all__ = ["lint"]


def lint(
    data: DataFolder,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder for lint.json and its page. (default: runs/lint-NAME)"),
    ] = None,
    layout: Layout = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="A test set: a file of hashes, or LAYOUT:PATH. Repeatable."),
    ] = None,
    small: Annotated[
        int, typer.Option(min=1, help="Pictures with a shorter side than this are small.")
    ] = 64,
    judge: Annotated[
        str | None,
        typer.Option(help="A judge's SPEC: it finds swapped pairs and unfit instructions."),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Write the mended data set to OUT/mended.")
    ] = False,
) -> None:
    """Find defects of a data set: misregistered pairs, wrong masks, texts and repeats."""
    from editloop.quality.lint.lint_data import lint_data
    from editloop.quality.lint.table import print_lint

    place = out or Path("runs") / f"lint-{data.resolve().name}"
    results = lint_data(
        data,
        place,
        layout=layout,
        against=against or (),
        smallest=small,
        judge=judge,
        repair=repair,
    )
    print_lint(results)
    say(f"lint: {place / 'lint.html'}")
