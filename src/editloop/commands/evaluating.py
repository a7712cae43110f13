"""The commands that evaluate editors, compare runs, measure data sets and list protocols."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from editloop.commands.common import (
    DataFolder,
    Download,
    EngineSpec,
    InvertMask,
    Layout,
    MaskRule,
    Workers,
    going_on_later,
)
from editloop.errors import RecipeError
from editloop.showing.terminal import say

__all__ = ["compare", "evaluate", "measure", "protocols"]


def evaluate(
    protocol: Annotated[
        str,
        typer.Option(
            help="The protocol's name, or the path of your own protocol card (YAML).",
            show_default=False,
        ),
    ],
    data: Annotated[Path, typer.Option(help="The folder of the test data.", show_default=False)],
    editor: Annotated[
        list[str],
        typer.Option(
            help="An editor to evaluate: [NAME=]KIND[:TARGET][?key=value&...]. Repeatable.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The run folder. (default: runs/PROTOCOL)")
    ] = None,
    metrics: Annotated[
        str,
        typer.Option(
            help="Comma-separated metrics: names of the protocol's, such as l1,l2, or "
            "[NAME=]KIND[:TARGET]. (default: all of the protocol's)"
        ),
    ] = "",
    judge: Annotated[
        str | None,
        typer.Option(help="The judge, for judged protocols: KIND[:TARGET][?key=value&...]."),
    ] = None,
    mask: Annotated[
        str, typer.Option(help="Run the editors without masks, with masks, or both.")
    ] = "without",
    mask_rule: MaskRule = None,
    invert_mask: InvertMask = False,
    precision: Annotated[
        str, typer.Option(help="Precision of the metrics' models: fp32 or bf16.")
    ] = "fp32",
    embeddings: Annotated[
        Path | None, typer.Option(help="Folder of cached embeddings, shared between runs.")
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing",
            help="Count missing recorded pictures as unedited instead of stopping.",
        ),
    ] = False,
    download: Download = False,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the edits.")] = 0,
    workers: Workers = None,
    engine: EngineSpec = "processes",
) -> None:
    """Evaluate editors by a published protocol and write a report.

    Run the same command again to resume an interrupted evaluation, or to add editors or metrics:
    only what is missing is computed.
    """
    from editloop.commands.terminal import print_results
    from editloop.commands.unscored import fail_unscored
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
            workers=workers,
            engine=engine,
            metrics=_names(metrics),
            judge=judge,
            mask=mask,
            mask_rule=mask_rule,
            invert_mask=invert_mask,
            precision=precision,
            embeddings=None if embeddings is None else str(embeddings.absolute()),
            missing="count" if allow_missing else "refuse",
        )
    print_results(results)
    say(f"report: {folder / 'report.html'}")
    fail_unscored(results)


def compare(
    folders: Annotated[
        list[Path], typer.Argument(help="The run folders to compare.", show_default=False)
    ],
    metrics: Annotated[
        str, typer.Option(help="Comma-separated metrics, such as l1,l2. (default: all)")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Folder to write compare.json and compare.html to.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the bootstrap.")] = 0,
    resamples: Annotated[int, typer.Option(min=100, help="Number of bootstrap resamples.")] = 1000,
    judge: Annotated[
        str | None,
        typer.Option(
            help="Also ask a model which of two edits is better: preference:MODEL?base_url=URL."
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            min=1, help="Ask the judge about a random sample of this many cases. (default: all)"
        ),
    ] = None,
) -> None:
    """Compare runs of the same protocol and data in one table, with paired differences."""
    from editloop.commands.unscored import fail_unanswered, fail_uncompared
    from editloop.evaluation.comparing.compare import compare_runs
    from editloop.evaluation.comparing.page import write_comparison
    from editloop.evaluation.comparing.table import print_comparison

    if sample is not None and judge is None:
        raise RecipeError("--sample needs a judge", value=sample, fix="add --judge, or drop it")
    chosen = _names(metrics) or None
    found = compare_runs(folders, metrics=chosen, seed=seed, resamples=resamples)
    print_comparison(found)
    if out is not None:
        say(write_comparison(found, out))
    if judge is not None:
        from editloop.evaluation.comparing.preference_table import print_preferences
        from editloop.evaluation.comparing.preferring import prefer, write_preferences

        with going_on_later():
            preferences = prefer(found, judge, sample=sample)
        print_preferences(found, preferences)
        if out is not None:
            say(write_preferences(preferences, out))
            write_comparison(found, out, preferences)
        fail_unanswered(preferences)
    else:
        fail_uncompared(found)


def measure(
    data: DataFolder,
    layout: Layout = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            help="A metric: [NAME=]KIND[:TARGET][?key=value&...]. Repeatable. "
            "(default: those of UltraEdit's paper)"
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help="Also score the edits with a judge: KIND[:TARGET][?key=value&...]. A model scores "
            "HQ-Edit's Alignment and Coherence."
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Measure a random sample of this many edits. (default: all)"),
    ] = None,
    mask_rule: MaskRule = None,
    invert_mask: InvertMask = False,
    out: Annotated[
        Path | None, typer.Option(help="The output folder. (default: runs/quality-NAME)")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed of --sample and the intervals.")
    ] = 0,
    download: Download = False,
    workers: Workers = None,
    engine: EngineSpec = "processes",
) -> None:
    """Measure a data set's quality: how well its captions, edits and pictures fit together."""
    from editloop.commands.unscored import fail_unmeasured
    from editloop.quality.dataset import measure_data
    from editloop.quality.table import print_quality

    with going_on_later():
        found = measure_data(
            data,
            layout=layout,
            metrics=metrics or None,
            judge=judge,
            sample=sample,
            mask_rule=mask_rule,
            invert_mask=invert_mask,
            out=out,
            seed=seed,
            download=download,
            workers=workers,
            engine=engine,
        )
    print_quality(found)
    fail_unmeasured(found)


def protocols(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A protocol to describe in full. (default: list all)", show_default=False
        ),
    ] = None,
) -> None:
    """List the evaluation protocols, or describe one."""
    from editloop.commands.terminal import print_protocol, print_protocols
    from editloop.evaluation.protocol.card import listing, read_protocol

    if name is None:
        print_protocols(list(listing()))
    else:
        print_protocol(read_protocol(name))


def _names(listed: str) -> list[str]:
    """Return the names in a comma-separated list such as `l1, l2`."""
    return [name.strip() for name in listed.split(",") if name.strip()]
