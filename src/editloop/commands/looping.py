"""The commands on recipes and whole runs: list and run recipes; show, verify, retry runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from editloop.commands.common import EngineSpec, RunFolder, going_on_later
from editloop.showing.terminal import say

__all__ = ["clean", "recipes", "retry", "run", "show", "verify"]


def run(
    recipe: Annotated[
        str,
        typer.Argument(
            help="The name of a shipped recipe, or your own recipe's YAML file.", show_default=False
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="The run folder. (default: runs/NAME)")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Run only this part of the recipe, such as build or train. Repeatable."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a setting of the recipe, such as train.reward.steps=400. Repeatable.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes. (default: one per CPU core)")
    ] = None,
    engine: EngineSpec = "processes",
    new_version: Annotated[
        bool,
        typer.Option("--new-version", help="Continue although the recipe or its inputs changed."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only check the recipe, its data and weights, and print what would be done.",
        ),
    ] = False,
) -> None:
    """Run a recipe: build data, train, evaluate and write a report.

    Run the same command again to resume an interrupted run.
    """
    from editloop.commands.left_out import fail_without_output, print_left_out
    from editloop.commands.models import print_models
    from editloop.commands.terminal import build_progress, print_plan, print_results
    from editloop.commands.unscored import fail_unscored
    from editloop.loop import run as loop
    from editloop.loop.recipe import read_recipe

    settings = read_recipe(recipe, overrides or ())
    folder = out or Path("runs") / settings.name
    if dry_run:
        loop.check(settings, folder, only=only or (), engine=engine, new_version=new_version)
        print_plan(loop.dry_run(settings, folder), loop.notices(settings, folder))
        return
    with going_on_later(), build_progress() as progress:
        results = loop.run(
            settings,
            folder,
            only=only or (),
            workers=workers,
            engine=engine,
            new_version=new_version,
            progress=progress,
        )
    print_results(results)
    print_models(folder, results)
    print_left_out(folder, results)
    if (folder / "report.html").exists():
        say(f"report: {folder / 'report.html'}")
    fail_without_output(results)
    fail_unscored(results)


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(help="A recipe to print as YAML. (default: list all)", show_default=False),
    ] = None,
) -> None:
    """List the shipped recipes, or print one, to copy and change it."""
    from editloop.commands.terminal import print_recipes
    from editloop.loop.shipped import shipped_recipe, shipped_recipes

    if name is None:
        print_recipes(shipped_recipes())
    else:
        say(shipped_recipe(name).decode("utf-8"), end="")


def show(
    folder: RunFolder,
    html: Annotated[bool, typer.Option("--html", help="Rewrite the report page instead.")] = False,
) -> None:
    """Print a run's results so far: counts and tables; exit with 1 if nothing came out."""
    from editloop.commands.left_out import fail_without_output, print_left_out
    from editloop.commands.models import print_models
    from editloop.commands.terminal import print_results
    from editloop.loop import run as loop

    results = loop.results(folder)
    if html:
        say(loop.report(folder))
    else:
        print_results(results)
        print_models(folder, results)
        print_left_out(folder, results)
    fail_without_output(results)


def verify(folder: RunFolder) -> None:
    """Check that every file of a run is exactly as it was committed; exit with 1 if not."""
    from editloop.storage.verify import verify as check

    problems = check(folder)
    for problem in problems:
        say(f"{problem.path}: {problem.cause}")
    if problems:
        raise typer.Exit(1)
    say("ok: every file is as it was committed")


def clean(
    folder: RunFolder,
    recipe: Annotated[
        str | None, typer.Option(help="The run's recipe, if it has classes of your own.")
    ] = None,
) -> None:
    """Remove the working files of a complete run that nothing needs.

    Data, models, results and the replies of model servers stay; so do the outputs of steps that use
    a GPU. A retry or a changed recipe then builds again from the sources.
    """
    from editloop.loop import run as loop

    with going_on_later():
        removed = loop.clean(folder, recipe=recipe)
    say(f"{removed / 1e6:,.1f} MB removed")


def retry(
    folder: RunFolder,
    failure: Annotated[
        str,
        typer.Option(
            "--class", help="The class of failures to retry: transient, permanent, policy or bug."
        ),
    ] = "transient",
    recipe: Annotated[
        str | None,
        typer.Option(
            help="The run's recipe, if it has classes of your own: those that only the run's "
            "records name are not run."
        ),
    ] = None,
) -> None:
    """Retry a run's quarantined inputs of one failure class."""
    from editloop.loop import run as loop

    with going_on_later():
        tried, passed = loop.retry(folder, failure, recipe=recipe)
    say(f"{tried} retried, {passed} passed")
    if passed:
        say("the data changed: run again with --new-version to update the rest of the run")
