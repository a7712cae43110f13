"""The command that trains an editor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from editloop.commands.common import InvertMask, MaskRule, going_on_later
from editloop.showing.terminal import say

__all__ = ["train"]


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="A recipe with a `train` part: the name of a shipped one or a YAML file. Without "
            "one, give --data and --base.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="The run folder to train on, such as one written by `import`."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help="The model to start from: a folder in diffusers layout or a hub name."),
    ] = None,
    conditions: Annotated[
        str | None, typer.Option(help="Conditions of the model: source[,mask][,reward].")
    ] = None,
    mask_rule: MaskRule = None,
    invert_mask: InvertMask = False,
    drop_black_masks: Annotated[
        bool,
        typer.Option(
            "--drop-black-masks",
            help="Leave out edits whose mask is all black, so that nothing may change.",
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="The run folder to write. (default: runs/NAME)")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Another setting, such as steps=500. Repeatable."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of processes that prepare data. (default: one per CPU core)"
        ),
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Download the base model if it is missing.")
    ] = False,
    new_version: Annotated[
        bool,
        typer.Option("--new-version", help="Continue although the settings or the data changed."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only check the settings, data and base, and print what would be done.",
        ),
    ] = False,
) -> None:
    """Train an editor on a data set of edits.

    Run the same command again to resume, or with more steps to train longer. Started by
    `accelerate launch`, all processes train one model together.
    """
    from editloop.commands.models import print_models
    from editloop.commands.terminal import build_progress, print_plan, print_results
    from editloop.loop import run as loop
    from editloop.loop.recipe import override
    from editloop.training import train as fine_tuning

    named = {
        "data": None if data is None else str(data),
        "base": base,
        "conditions": conditions and [each.strip() for each in conditions.split(",")],
        "mask_rule": mask_rule,
        "invert_mask": invert_mask or None,
        "black_masks": "drop" if drop_black_masks else None,
    }
    settings = {key: value for key, value in named.items() if value is not None}
    for text in overrides or ():
        settings = override(settings, text)
    made = fine_tuning.training_recipe(recipe, **settings)
    folder = out or Path("runs") / made.name
    if dry_run:
        fine_tuning.check(made, folder, download=download, new_version=new_version)
        print_plan(loop.dry_run(made, folder), loop.notices(made, folder))
        return
    with going_on_later(), build_progress() as progress:
        results = fine_tuning.train(
            made,
            folder,
            download=download,
            workers=workers,
            new_version=new_version,
            progress=progress,
        )
    print_results(results)
    print_models(folder, results)
    say(f"report: {folder / 'report.html'}")
