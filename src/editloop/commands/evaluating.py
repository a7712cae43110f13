"""The commands that measure: editors by a protocol, runs side by side, a data set itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from editloop.commands.common import DataFolder, Download, Layout, going_on_later
from editloop.errors import RecipeError

__all__ = ["compare", "evaluate", "measure", "protocols"]


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
    download: Download = False,
    seed: Annotated[int, typer.Option(min=0, help="The seed of the edits.")] = 0,
) -> None:
    """Evaluate editors by a published protocol, or go on with it; editors may be added later."""
    from editloop.commands.terminal import print_results
    from editloop.evaluation.evaluate import evaluate as call

    folder = out or Path("runs") / Path(protocol).stem
    with going_on_later():
        results = call(
            protocol,
            data,
            editor,
            folder,
            seed=seed,
            download=download,
            metrics=_names(metrics),
            judge=judge,
            mask=mask,
            precision=precision,
            embeddings=None if embeddings is None else str(embeddings.absolute()),
            missing="count" if allow_missing else "refuse",
        )
    print_results(results)
    typer.echo(f"report: {folder / 'report.html'}")


def compare(
    folders: Annotated[list[Path], typer.Argument(help="Run folders.", show_default=False)],
    metrics: Annotated[str, typer.Option(help="Some metrics, as l1,l2. (default: all)")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Write compare.json and compare.html here.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The seed of the bootstrap.")] = 0,
    resamples: Annotated[int, typer.Option(min=100, help="Of the bootstrap.")] = 1000,
    judge: Annotated[
        str | None, typer.Option(help="Ask whose pictures are preferred: preference:MODEL?...")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Ask about so many cases, by lot. (default: all)")
    ] = None,
) -> None:
    """Join runs of one protocol and data into one table, with paired differences."""
    from editloop.evaluation.comparing.compare import compare_runs
    from editloop.evaluation.comparing.page import write_comparison
    from editloop.evaluation.comparing.table import print_comparison

    if sample is not None and judge is None:
        raise RecipeError("nobody is asked about a sample", value=sample, fix="give --judge too")
    chosen = _names(metrics) or None
    found = compare_runs(folders, metrics=chosen, seed=seed, resamples=resamples)
    print_comparison(found)
    if out is not None:
        typer.echo(write_comparison(found, out))
    if judge is not None:
        from editloop.evaluation.comparing.preference_table import print_preferences
        from editloop.evaluation.comparing.preferring import prefer, write_preferences

        with going_on_later():
            preferences = prefer(found, judge, sample=sample)
        print_preferences(found, preferences)
        if out is not None:
            typer.echo(write_preferences(preferences, out))
            write_comparison(found, out, preferences)


def measure(
    data: DataFolder,
    layout: Layout = None,
    metrics: Annotated[
        list[str] | None, typer.Option(help="A metric's SPEC; can repeat. (default: the papers')")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to write. (default: runs/quality-NAME)")
    ] = None,
    download: Download = False,
) -> None:
    """Measure a data set's own quality: how well captions, edits and pictures fit."""
    from editloop.quality.dataset import measure_data
    from editloop.quality.table import print_quality

    with going_on_later():
        found = measure_data(
            data, layout=layout, metrics=metrics or None, out=out, download=download
        )
    print_quality(found)


def protocols(
    name: Annotated[
        str | None, typer.Argument(help="Explain this one.", show_default=False)
    ] = None,
) -> None:
    """List the protocols that editors can be evaluated by, or explain one."""
    from editloop.commands.terminal import print_protocol, print_protocols
    from editloop.evaluation.protocol.card import listing, read_protocol

    if name is None:
        print_protocols(list(listing()))
    else:
        print_protocol(read_protocol(name))


def _names(listed: str) -> list[str]:
    """The names in a list such as `l1, l2`."""
    return [name.strip() for name in listed.split(",") if name.strip()]
