"""The command that exports preference pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from editloop.commands.common import RunFolder
from editloop.showing.terminal import say

__all__ = ["export_preferences"]


def export_preferences(
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="The folder for the pairs.", show_default=False)],
) -> None:
    """Write pairs of a chosen and a rejected candidate of a run, with the reasons."""
    from editloop.generation.preferences import export_preferences

    counts = export_preferences(run, out)
    say(f"pairs: {counts['pairs']}")
    say(f"rejected without a picture: {counts['without_picture']}")
    say(f"rejected without a chosen one: {counts['without_chosen']}")
    say(f"data: {out / 'data'}")
