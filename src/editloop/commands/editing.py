"""The commands that edit a picture and list the editors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from editloop.commands.common import InvertMask, MaskRule
from editloop.showing.terminal import say

__all__ = ["edit", "editors", "operations"]


def edit(
    image: Annotated[Path, typer.Argument(help="The picture to edit.", show_default=False)],
    instructions: Annotated[
        list[str],
        typer.Argument(
            help="What to change. Several instructions are applied one after another.",
            show_default=False,
        ),
    ],
    editor: Annotated[
        str,
        typer.Option(
            help="The editor: KIND[:TARGET][?key=value&...], a model's folder or its hub name."
        ),
    ] = "darkroom",
    mask: Annotated[
        Path | None, typer.Option(help="Mask picture: white where editing is allowed.")
    ] = None,
    mask_rule: MaskRule = None,
    invert_mask: InvertMask = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Picture file or folder to write. (default: IMAGE-edited.png)"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    seeds: Annotated[
        int,
        typer.Option(
            min=1,
            max=1000,
            help="Number of consecutive seeds, starting at --seed. More than one also writes a "
            "contact sheet.",
        ),
    ] = 1,
    steps: Annotated[
        int | None, typer.Option(help="Number of denoising steps. (default: the editor's)")
    ] = None,
    text_guidance: Annotated[
        float | None,
        typer.Option(help="Guidance scale of the instruction. (default: the editor's)"),
    ] = None,
    image_guidance: Annotated[
        float | None,
        typer.Option(help="Guidance scale of the source picture. (default: the editor's)"),
    ] = None,
    reward: Annotated[
        str | None,
        typer.Option(
            help="Reward scores to ask for, each 0 to 5: FOLLOWING,PRESERVING,QUALITY; or none."
        ),
    ] = None,
    acceleration: Annotated[
        str | None, typer.Option(help="Lossy speed-up: reused-guidance, or none. (default: none)")
    ] = None,
) -> None:
    """Edit a picture by one or more instructions.

    Each picture that is written records in its metadata how it was made. Give further settings of
    the editor in --editor; `editloop editors` lists them.
    """
    from editloop.editors.edit_files import edit_to_files
    from editloop.images.masks import mask_reading

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
        reading=mask_reading(mask_rule, invert=invert_mask),
        settings=settings,
    ):
        say(path)


def editors() -> None:
    """List the kinds of editors with their settings and defaults."""
    from editloop.commands.terminal import print_kinds

    print_kinds("editor")


def operations() -> None:
    """List the darkroom's operations by edit type, with an example instruction for each."""
    from editloop.commands.terminal import print_operations
    from editloop.darkroom.language.phrases import listing

    print_operations(listing())
