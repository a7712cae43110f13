"""What several commands share: arguments and options, and how an interrupt ends them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "CallsDryRun",
    "DataFolder",
    "Download",
    "JudgeSpec",
    "Layout",
    "RunFolder",
    "going_on_later",
]

RunFolder = Annotated[Path, typer.Argument(help="A run's folder.", show_default=False)]
DataFolder = Annotated[Path, typer.Argument(help="A data set's folder.", show_default=False)]
JudgeSpec = Annotated[
    str, typer.Option(help="A judge's SPEC, or a YAML file of one.", show_default=False)
]
Layout = Annotated[
    str | None, typer.Option(help="How it is laid out, as KIND?key=value. (default: detected)")
]
Download = Annotated[
    bool, typer.Option("--download", help="Get the weights that are not on this machine.")
]
CallsDryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say how many calls this takes, and what they cost.")
]


@contextmanager
def going_on_later() -> Iterator[None]:
    """Ctrl-C ends a command cleanly and says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("stopped; what is finished is kept. Run the same command to go on.", err=True)
        raise typer.Exit(130) from None
