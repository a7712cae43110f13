"""The commands of the whole loop: make it, show it, check it, try again what failed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from editloop.commands.common import RunFolder, going_on_later

__all__ = ["retry", "run", "show", "verify"]


def run(
    recipe: Annotated[Path, typer.Argument(help="A recipe (YAML).", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="The run's folder. (default: runs/NAME)")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Make just this part of the recipe, such as build or train; can repeat."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; can repeat."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that build. (default: one a core)")
    ] = None,
    new_version: Annotated[
        bool, typer.Option("--new-version", help="Go on although the recipe or its inputs changed.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Check the recipe and what it names, and say what would be done."
        ),
    ] = False,
) -> None:
    """Make a whole loop, or go on with one that was interrupted."""
    from editloop.commands.terminal import build_progress, print_plan, print_results
    from editloop.loop import run as loop
    from editloop.loop.recipe import read_recipe

    settings = read_recipe(recipe, overrides or ())
    folder = out or Path("runs") / settings.name
    if dry_run:
        loop.check(settings, folder, only=only or (), new_version=new_version)
        print_plan(loop.dry_run(settings, folder))
        return
    with going_on_later(), build_progress() as progress:
        results = loop.run(
            settings,
            folder,
            only=only or (),
            workers=workers,
            new_version=new_version,
            progress=progress,
        )
    print_results(results)
    if (folder / "report.html").exists():
        typer.echo(f"report: {folder / 'report.html'}")


def show(
    folder: RunFolder,
    html: Annotated[bool, typer.Option("--html", help="Write the report page again.")] = False,
) -> None:
    """Show what a run has made so far."""
    from editloop.commands.terminal import print_results
    from editloop.loop import run as loop

    if html:
        typer.echo(loop.report(folder))
        return
    print_results(loop.results(folder))


def verify(folder: RunFolder) -> None:
    """Check every byte of a run against what was committed."""
    from editloop.storage.verify import verify as check

    problems = check(folder)
    for problem in problems:
        typer.echo(f"{problem.path}: {problem.cause}")
    if problems:
        raise typer.Exit(1)
    typer.echo("whole: every file is as it was committed")


def retry(
    folder: RunFolder,
    failure: Annotated[
        str, typer.Option("--class", help="transient, permanent, policy or bug.")
    ] = "transient",
) -> None:
    """Try quarantined inputs of one failure class again."""
    from editloop.loop import run as loop

    with going_on_later():
        tried, passed = loop.retry(folder, failure)
    typer.echo(f"{tried} tried again, {passed} passed")
    if passed:
        typer.echo("the data changed: --new-version brings the rest of the run up to date")
