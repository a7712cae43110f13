"""Arguments and options that several commands share, and the handling of Ctrl-C."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from editloop.showing.terminal import say

__all__ = [
    "CallsDryRun",
    "DataFolder",
    "Download",
    "EngineSpec",
    "InvertMask",
    "JudgeSpec",
    "Layout",
    "MaskRule",
    "RunFolder",
    "Workers",
    "going_on_later",
]

RunFolder = Annotated[Path, typer.Argument(help="The run folder.", show_default=False)]
DataFolder = Annotated[Path, typer.Argument(help="The data set's folder.", show_default=False)]
JudgeSpec = Annotated[
    str,
    typer.Option(
        help="The judge: KIND[:TARGET][?key=value&...], or a YAML file.", show_default=False
    ),
]
Layout = Annotated[
    str | None,
    typer.Option(help="Layout of the data set: KIND[?key=value&...]. (default: detected)"),
]
MaskRule = Annotated[
    str | None,
    typer.Option(
        help="Where masks allow editing: nonzero, white, opaque or index:N. (default: by what each "
        "mask holds)"
    ),
]
InvertMask = Annotated[bool, typer.Option("--invert-mask", help="Swap where masks allow editing.")]
EngineSpec = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="SPEC",
        help="Where the work runs: processes, threads, in-process or ray[:HOST:PORT].",
    ),
]
Download = Annotated[
    bool, typer.Option("--download", help="Download weights that are missing on this machine.")
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Number of processes that compute. (default: one per CPU core)"),
]
CallsDryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only estimate the number of calls, tokens and the cost.")
]


@contextmanager
def going_on_later() -> Iterator[None]:
    """End the command cleanly on Ctrl-C, with exit code 130, and print how to continue."""
    try:
        yield
    except KeyboardInterrupt:
        say("stopped; finished work is kept. Run the same command again to continue.", err=True)
        raise typer.Exit(130) from None
