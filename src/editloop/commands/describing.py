"""The command that describes a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from editloop.commands.common import DataFolder, Layout
from editloop.showing.terminal import say

__all__ = ["describe"]


def describe(
    data: DataFolder,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The folder for describe.json and its page. (default: runs/describe-NAME)"
        ),
    ] = None,
    layout: Layout = None,
) -> None:
    """Count what a data set holds: types, instructions, keywords, sizes, licences, scores."""
    from editloop.quality.describing.describe_data import describe_data
    from editloop.quality.describing.table import print_description

    place = out or Path("runs") / f"describe-{data.resolve().name}"
    print_description(describe_data(data, place, layout=layout))
    say(f"description: {place / 'describe.html'}")
