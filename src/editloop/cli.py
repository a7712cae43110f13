"""The commands: each parses, calls one function of the package, and prints.

Nothing heavy is imported before a command needs it, so `editloop --help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "app",
    "calibrate",
    "compare",
    "edit",
    "editors",
    "evaluate",
    "judge",
    "main",
    "measure",
    "operations",
    "protocols",
    "retry",
    "run",
    "show",
    "verify",
]

app = typer.Typer(
    name="editloop",
    help="The whole loop of instruction-based image editing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

RunFolder = Annotated[Path, typer.Argument(help="A run's folder.", show_default=False)]


@app.command()
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
        bool, typer.Option("--dry-run", help="Check the recipe and say what would be done.")
    ] = False,
) -> None:
    """Make a whole loop, or go on with one that was interrupted."""
    from editloop import loop
    from editloop.recipe import read_recipe
    from editloop.terminal import build_progress, print_plan, print_results

    settings = read_recipe(recipe, overrides or ())
    folder = out or Path("runs") / settings.name
    if dry_run:
        print_plan(loop.plan(settings, folder))
        return
    with _going_on_later(), build_progress() as progress:
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


@app.command()
def evaluate(
    protocol: Annotated[
        str,
        typer.Option(help="A protocol's name, or a card (YAML) of your own.", show_default=False),
    ],
    data: Annotated[Path, typer.Option(help="The data's folder.", show_default=False)],
    editor: Annotated[
        list[str], typer.Option(help="An editor's SPEC; can repeat.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option(help="The run's folder. (default: runs/PROTOCOL)")
    ] = None,
    metrics: Annotated[
        str, typer.Option(help="Some of the protocol's metrics, as l1,l2, or SPECs. (default: all)")
    ] = "",
    judge: Annotated[str | None, typer.Option(help="A judge's SPEC, for judged protocols.")] = None,
    mask: Annotated[
        str, typer.Option(help="Editors are asked without, with, or both.")
    ] = "without",
    precision: Annotated[
        str, typer.Option(help="Of the models that metrics use: fp32 or bf16.")
    ] = "fp32",
    embeddings: Annotated[
        Path | None, typer.Option(help="A folder of embeddings that runs share.")
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Count recorded pictures not there as unedited.")
    ] = False,
    download: Annotated[
        bool, typer.Option("--download", help="Get the weights that are not on this machine.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="The seed of the edits.")] = 0,
) -> None:
    """Evaluate editors by a published protocol, or go on with it; editors may be added later."""
    from editloop.evaluating import evaluate as call
    from editloop.terminal import print_results

    folder = out or Path("runs") / Path(protocol).stem
    with _going_on_later():
        results = call(
            protocol,
            data,
            editor,
            folder,
            seed=seed,
            download=download,
            metrics=[name for name in metrics.split(",") if name],
            judge=judge,
            mask=mask,
            precision=precision,
            embeddings=None if embeddings is None else str(embeddings.absolute()),
            missing="count" if allow_missing else "refuse",
        )
    print_results(results)
    typer.echo(f"report: {folder / 'report.html'}")


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(help="Run folders.", show_default=False)],
    metrics: Annotated[str, typer.Option(help="Some metrics, as l1,l2. (default: all)")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Write compare.json and compare.html here.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The seed of the bootstrap.")] = 0,
    resamples: Annotated[int, typer.Option(min=100, help="Of the bootstrap.")] = 1000,
) -> None:
    """Join runs of one protocol and data into one table, with paired differences."""
    from editloop.evaluation.comparing import compare_runs
    from editloop.evaluation.comparison_page import write_comparison
    from editloop.evaluation.comparison_table import print_comparison

    chosen = [name for name in metrics.split(",") if name] or None
    found = compare_runs(folders, metrics=chosen, seed=seed, resamples=resamples)
    print_comparison(found)
    if out is not None:
        typer.echo(write_comparison(found, out))


@app.command()
def measure(
    data: Annotated[Path, typer.Argument(help="A data set's folder.", show_default=False)],
    layout: Annotated[
        str | None, typer.Option(help="How it is laid out, as KIND?key=value. (default: detected)")
    ] = None,
    metrics: Annotated[
        list[str] | None, typer.Option(help="A metric's SPEC; can repeat. (default: the papers')")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to write. (default: runs/quality-NAME)")
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Get the weights that are not on this machine.")
    ] = False,
) -> None:
    """Measure a data set's own quality: how well captions, edits and pictures fit."""
    from editloop.evaluation.dataset import measure_data
    from editloop.evaluation.quality_table import print_quality

    with _going_on_later():
        found = measure_data(
            data, layout=layout, metrics=metrics or None, out=out, download=download
        )
    print_quality(found)


@app.command()
def judge(
    data: Annotated[Path, typer.Argument(help="A data set's folder.", show_default=False)],
    judge: Annotated[
        str, typer.Option(help="A judge's SPEC, or a YAML file of one.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option(help="The run's folder. (default: runs/judged-NAME)")
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="How it is laid out, as KIND?key=value. (default: detected)")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Judge so many edits, drawn by lot. (default: all)")
    ] = None,
    only: Annotated[
        Path | None, typer.Option(help="A JSON file whose keys or items are the ids to judge.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The seed of the lot.")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that judge. (default: one a core)")
    ] = None,
    new_version: Annotated[
        bool, typer.Option("--new-version", help="Go on although the judge or the data changed.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how many calls this takes, and what they cost.")
    ] = False,
) -> None:
    """Add a judge's scores and words to a data set's edits, or go on with it."""
    from editloop import judging
    from editloop.evaluation.rewards_table import print_rewards
    from editloop.terminal import build_progress, print_expected

    source = {
        "layout": layout,
        "sample": sample,
        "only": None if only is None else str(only.absolute()),
    }
    if dry_run:
        print_expected(judging.plan(data, judge, seed=seed, **source))
        return
    folder = out or Path("runs") / f"judged-{data.resolve().name}"
    with _going_on_later(), build_progress() as progress:
        results = judging.judge(
            data,
            judge,
            folder,
            seed=seed,
            workers=workers,
            new_version=new_version,
            progress=progress,
            **source,
        )
    print_rewards(results)
    typer.echo(f"rewards: {folder / 'evaluation' / 'rewards' / 'rewards.html'}")


@app.command()
def calibrate(
    judge: Annotated[
        str, typer.Option(help="A judge's SPEC, or a YAML file of one.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Where answers and pages are kept.")] = Path(
        "runs/calibration"
    ),
    pairs: Annotated[int, typer.Option(min=56, help="Pairs with recorded faults.")] = 448,
    repeats: Annotated[int, typer.Option(min=1, help="How often some are judged.")] = 3,
    frozen: Annotated[
        Path | None, typer.Option(help="An earlier calibration's frozen.parquet, for drift.")
    ] = None,
    ratings: Annotated[Path | None, typer.Option(help="A CSV of what people said.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="The data that was rated. (default: the pairs)")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The seed of the pairs.")] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how many calls this takes, and what they cost.")
    ] = False,
) -> None:
    """Say how far a judge can be trusted: against truth, sanity, itself and people."""
    from editloop.evaluation import calibration
    from editloop.evaluation.calibration_table import print_calibration
    from editloop.terminal import print_expected

    paths = {"frozen": frozen, "ratings": ratings, "data": data}
    given = {name: str(path) for name, path in paths.items() if path is not None}
    settings = {"pairs": pairs, "repeats": repeats, "seed": seed, **given}
    if dry_run:
        print_expected(calibration.plan_calibration(judge, out, **settings))
        return
    with _going_on_later():
        results = calibration.calibrate(judge, out, **settings)
    print_calibration(results)
    typer.echo(f"calibration: {out / 'calibration.html'}")


@app.command()
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


@app.command()
def show(
    folder: RunFolder,
    html: Annotated[bool, typer.Option("--html", help="Write the report page again.")] = False,
) -> None:
    """Show what a run has made so far."""
    from editloop import loop
    from editloop.terminal import print_results

    if html:
        typer.echo(loop.report(folder))
        return
    print_results(loop.results(folder))


@app.command()
def verify(folder: RunFolder) -> None:
    """Check every byte of a run against what was committed."""
    from editloop.store import verify as check

    problems = check(folder)
    for problem in problems:
        typer.echo(f"{problem.path}: {problem.cause}")
    if problems:
        raise typer.Exit(1)
    typer.echo("whole: every file is as it was committed")


@app.command()
def retry(
    folder: RunFolder,
    failure: Annotated[
        str, typer.Option("--class", help="transient, permanent, policy or bug.")
    ] = "transient",
) -> None:
    """Try quarantined inputs of one failure class again."""
    from editloop import loop

    with _going_on_later():
        tried, passed = loop.retry(folder, failure)
    typer.echo(f"{tried} tried again, {passed} passed")
    if passed:
        typer.echo("the data changed: `editloop run ... --new-version` brings the rest up to date")


@app.command()
def editors() -> None:
    """List the kinds of editor and their settings."""
    from editloop.terminal import print_kinds

    print_kinds("editor")


@app.command()
def protocols(
    name: Annotated[
        str | None, typer.Argument(help="Explain this one.", show_default=False)
    ] = None,
) -> None:
    """List the protocols that editors can be evaluated by, or explain one."""
    from editloop.evaluation.protocol import listing, read_protocol
    from editloop.terminal import print_protocol, print_protocols

    if name is None:
        print_protocols(list(listing()))
    else:
        print_protocol(read_protocol(name))


@app.command()
def operations() -> None:
    """List what the darkroom can do, by edit type, with an example each."""
    from editloop.darkroom.phrases import listing
    from editloop.terminal import print_operations

    print_operations(listing())


@contextmanager
def _going_on_later() -> Iterator[None]:
    """Ctrl-C ends a command cleanly and says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("stopped; what is finished is kept. Run the same command to go on.", err=True)
        raise typer.Exit(130) from None


def main() -> None:
    """The entry point: a user's mistake prints its cause and fix, never a traceback."""
    from editloop.errors import EditLoopError

    # It warns of the picture processors that it takes where torchvision is absent: the right ones.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        app()
    except EditLoopError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
