"""The commands that edit a picture and list the editors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from editloop.commands.common import InvertMask, MaskRule, going_on_later
from editloop.showing.terminal import say

__all__ = ["edit", "editors", "operations"]


def edit(
    image: Annotated[
        Path,
        typer.Argument(
            help="The picture to edit; or a folder or a glob of pictures.", show_default=False
        ),
    ],
    instructions: Annotated[
        list[str] | None,
        typer.Argument(
            help="What to change. Several instructions are applied one after another. With "
            "--instruction: further pictures.",
            show_default=False,
        ),
    ] = None,
    instruction: Annotated[
        list[str] | None, typer.Option(help="What to change, for several pictures. Repeatable.")
    ] = None,
    editor: Annotated[
        str,
        typer.Option(
            help="The editor: KIND[:TARGET][?key=value&...], a model's folder or its hub name."
        ),
    ] = "darkroom",
    mask: Annotated[
        Path | None,
        typer.Option(
            help="Mask picture: white where editing is allowed; for several pictures, a folder or "
            "a glob of masks named as they are."
        ),
    ] = None,
    mask_rule: MaskRule = None,
    invert_mask: InvertMask = False,
    reference: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="A further picture that the instructions speak of, for editors that take some. "
            "Repeatable.",
        ),
    ] = None,
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
    allow_large: Annotated[
        bool, typer.Option("--allow-large", help="Read pictures of more than 64 megapixels.")
    ] = False,
) -> None:
    """Edit a picture, or several, by one or more instructions.

    Several pictures need --output FOLDER. The same command resumes an interrupted one.
    Each picture that is written records in its metadata how it was made. Give further settings of
    the editor in --editor; `editloop editors` lists them.
    """
    from editloop.editors.edit_files import edit_to_files
    from editloop.editors.named_files import names_several
    from editloop.images.masks import mask_reading

    asked = {
        "steps": steps,
        "text_guidance": text_guidance,
        "image_guidance": image_guidance,
        "reward": reward,
        "acceleration": acceleration,
    }
    settings = {name: value for name, value in asked.items() if value is not None}
    given = instructions or []
    turns = instruction or given
    images = [image, *map(Path, given if instruction else [])]
    chosen: dict[str, Any] = {
        "editor": editor,
        "settings": settings,
        "reading": mask_reading(mask_rule, invert=invert_mask),
        "references": reference or [],
        "seeds": range(seed, seed + seeds),
        "allow_large": allow_large,
    }
    if len(images) > 1 or names_several(image):
        _edit_several(images, turns, output, mask, chosen)
        return
    for path in edit_to_files(image, turns, output, mask=mask, **chosen):
        say(path)


def _edit_several(
    images: Sequence[Path],
    turns: Sequence[str],
    output: Path | None,
    mask: Path | None,
    chosen: dict[str, Any],
) -> None:
    """Edit several pictures, print each one's files, and exit with 1 if some were not edited."""
    from editloop.editors.edit_many import edit_pictures
    from editloop.errors import RecipeError

    if output is None:
        raise RecipeError(
            "several pictures need a folder", value=len(images), fix="name it with -o FOLDER"
        )
    failed = 0
    with going_on_later():
        for each in edit_pictures(images, turns, output, masks=mask, **chosen):
            told = ", ".join(map(str, each.files)) if each.error is None else f"error: {each.error}"
            failed += each.error is not None
            shown = f"{each.image}: {told}" if each.error else told
            say(f"[{each.number}/{each.total}] {shown}", err=each.error is not None)
    if failed:
        say(f"{failed:,} pictures were not edited; the reasons are above", err=True)
        raise typer.Exit(1)


def editors() -> None:
    """List the kinds of editors with their settings and defaults."""
    from editloop.commands.terminal import print_kinds

    print_kinds("editor")


def operations() -> None:
    """List the darkroom's operations by edit type, with an example instruction for each."""
    from editloop.commands.terminal import print_operations
    from editloop.darkroom.language.phrases import listing

    print_operations(listing())
