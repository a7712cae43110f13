"""The commands that edit a picture, and list what can edit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["edit", "editors", "operations"]


def edit(
    image: Annotated[Path, typer.Argument(help="A picture.", show_default=False)],
    instructions: Annotated[
        list[str],
        typer.Argument(help="What to change; several make a session.", show_default=False),
    ],
    editor: Annotated[str, typer.Option(help="An editor's SPEC.")] = "darkroom",
    mask: Annotated[
        Path | None, typer.Option(help="A picture that is white where editing is allowed.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Where to write. (default: IMAGE-edited.png)"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The seed of what is random.")] = 0,
) -> None:
    """Edit a picture by one or more instructions."""
    from editloop import editing

    results = editing.edit(image, instructions, editor=editor, mask=mask, seed=seed)
    last = output or image.with_name(f"{image.stem}-edited.png")
    for turn, pixels in enumerate(results, start=1):
        path = last if turn == len(results) else last.with_stem(f"{last.stem}-{turn}")
        editing.save_pixels(path, pixels)
        typer.echo(path)


def editors() -> None:
    """List the kinds of editor and their settings."""
    from editloop.terminal import print_kinds

    print_kinds("editor")


def operations() -> None:
    """List what the darkroom can do, by edit type, with an example each."""
    from editloop.darkroom.phrases import listing
    from editloop.terminal import print_operations

    print_operations(listing())
