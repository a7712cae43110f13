"""The commands that import published data sets and hash test sets to compare them with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from editloop.commands.common import EngineSpec, InvertMask, Layout, MaskRule, going_on_later
from editloop.showing.terminal import say

__all__ = ["hash_data", "import_data"]


def import_data(
    kind: Annotated[
        str, typer.Argument(help="The data set's layout: KIND[?key=value&...], or reward-edit.")
    ],
    data: Annotated[
        str,
        typer.Argument(
            help="The data set's folder, one file of rows, or its name on the Hugging Face hub.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="The run folder to write.", show_default=False)],
    split: Annotated[
        str | None, typer.Option(help="Import only this split. (default: all)")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN",
            help="The column that holds a field, for the layout table. Repeatable.",
        ),
    ] = None,
    rewards: Annotated[
        Path | None, typer.Option(help="RewardEdit's JSON file, for the layout reward-edit.")
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="LOW,HIGH",
            help="The scale of mapped rewards or of --rewards, mapped to 0..5. (default: 0,5)",
        ),
    ] = None,
    inverse: Annotated[
        bool | None,
        typer.Option(
            "--inverse/--no-inverse",
            help="Add each edit's inverse, from target to source. (default: only for hq-edit)",
        ),
    ] = None,
    heldout: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Fraction of the training data to hold out, chosen at random."
        ),
    ] = 0.0,
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Import a random sample of this many edits. (default: all)"),
    ] = None,
    fit: Annotated[
        str,
        typer.Option(
            help="What to do with targets and masks whose shape differs by more than 3%: resize, "
            "crop, pad or refuse."
        ),
    ] = "refuse",
    mask_rule: MaskRule = None,
    invert_mask: InvertMask = False,
    licence: Annotated[
        str | None,
        typer.Option(
            help="Licence of edits that state none. (default: the one in the data set's card)"
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="Test set to check for contamination: a file of `editloop hashes`, or "
            "LAYOUT:PATH. Repeatable."
        ),
    ] = None,
    drop_contaminated: Annotated[
        bool, typer.Option("--drop-contaminated", help="Drop edits that are found in a test set.")
    ] = False,
    download: Annotated[
        bool, typer.Option("--download", help="Download the data set from the hub first.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of --sample and --heldout.")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes. (default: one per CPU core)")
    ] = None,
    engine: EngineSpec = "processes",
    new_version: Annotated[
        bool,
        typer.Option("--new-version", help="Continue although the settings or the data changed."),
    ] = False,
) -> None:
    """Import a published data set into a run folder.

    Run the same command again to resume an interrupted import.
    """
    from editloop.commands.left_out import fail_without_output, print_left_out
    from editloop.commands.terminal import (
        build_progress,
        print_contamination,
        print_masks,
        print_notices,
        print_results,
    )
    from editloop.sources import import_data as importing

    with going_on_later(), build_progress() as progress:
        results = importing.import_data(
            kind,
            data,
            out,
            workers=workers,
            engine=engine,
            new_version=new_version,
            progress=progress,
            split=split,
            columns=_pairs(columns or ()),
            rewards=rewards,
            scale=scale,
            inverse=inverse,
            heldout=heldout,
            sample=sample,
            fit=fit,
            licence=licence,
            mask_rule=mask_rule,
            invert_mask=invert_mask,
            against=against or (),
            drop_contaminated=drop_contaminated,
            download=download,
            seed=seed,
        )
    print_results(results)
    print_contamination(results)
    print_notices(results)
    print_masks(results["masks"])
    print_left_out(out, results)
    say(f"data: {out / 'data'}")
    fail_without_output(results)


def hash_data(
    data: Annotated[Path, typer.Argument(help="The test set's folder.", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The JSON file to write.", show_default=False)
    ],
    layout: Layout = None,
    name: Annotated[
        str | None, typer.Option(help="The test set's name. (default: the folder's name)")
    ] = None,
) -> None:
    """Write hashes of a test set's edits, to find them in training data without sharing them."""
    from editloop.sources.against import hash_folder
    from editloop.sources.hashes import write_hashes

    listed = hash_folder(data, layout=layout, name=name)
    write_hashes(listed, output)
    say(f"{output}: {listed.edits} edits of {listed.name}")


def _pairs(texts: list[str] | tuple[()]) -> dict[str, str]:
    """Return repeated FIELD=COLUMN texts as a mapping; raise RecipeError on a faulty one."""
    from editloop.errors import RecipeError

    found: dict[str, str] = {}
    for text in texts:
        field, equals, column = text.partition("=")
        if not equals or field in found:
            cause = "a field is mapped twice" if equals else "--map names no column"
            raise RecipeError(cause, value=text, fix="write --map FIELD=COLUMN, once per field")
        found[field] = column
    return found
