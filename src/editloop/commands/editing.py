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
    editor: Annotated[
        str, typer.Option(help="An editor's SPEC, a model's folder or its hub name.")
    ] = "darkroom",
    mask: Annotated[
        Path | None, typer.Option(help="A picture that is white where editing is allowed.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="A picture or folder to write. (default: IMAGE-edited.png)"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The seed of what is random.")] = 0,
    seeds: Annotated[
        int,
        typer.Option(min=1, max=1000, help="How many seeds, from the first; with a contact sheet."),
    ] = 1,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    text_guidance: Annotated[
        float | None, typer.Option(help="Guidance scale of the instruction.")
    ] = None,
    image_guidance: Annotated[
        float | None, typer.Option(help="Guidance scale of the picture.")
    ] = None,
    reward: Annotated[
        str | None, typer.Option(help="Scores to reach: FOLLOWING,PRESERVING,QUALITY.")
    ] = None,
    acceleration: Annotated[
        str | None, typer.Option(help="A faster mode that is lossy: reused-guidance.")
    ] = None,
) -> None:
    """Edit a picture by one or more instructions.

    Each picture says in its metadata how it was made. Other settings of an editor stand in its
    SPEC.
    """
    from editloop.editors.edit_files import edit_to_files

    asked = {
        "steps": steps,
        "text_guidance": text_guidance,
        "image_guidance": image_guidance,
        "reward": reward,
        "acceleration": acceleration,
    }
    settings = {name: value for name, value in asked.items() if value is not None}
    for path in edit_to_files(
        image,
        instructions,
        output,
        seeds=range(seed, seed + seeds),
        editor=editor,
        mask=mask,
        settings=settings,
    ):
        typer.echo(path)


def editors() -> None:
    """List the kinds of editor and their settings."""
    from editloop.commands.terminal import print_kinds

    print_kinds("editor")


def operations() -> None:
    """List what the darkroom can do, by edit type, with an example each."""
    from editloop.commands.terminal import print_operations
    from editloop.darkroom.language.phrases import listing

    print_operations(listing())
