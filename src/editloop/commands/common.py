"""What several commands share: arguments, and how an interrupt ends them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["RunFolder", "going_on_later"]

RunFolder = Annotated[Path, typer.Argument(help="A run's folder.", show_default=False)]


@contextmanager
def going_on_later() -> Iterator[None]:
    """Ctrl-C ends a command cleanly and says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("stopped; what is finished is kept. Run the same command to go on.", err=True)
        raise typer.Exit(130) from None
