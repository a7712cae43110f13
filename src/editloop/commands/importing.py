"""The commands that bring published data in, and that hash test sets to compare it with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from editloop.commands.common import Layout, going_on_later

__all__ = ["hash_data", "import_data"]


def import_data(
    kind: Annotated[
        str,
        typer.Argument(help="The set's layout, as KIND[?key=value], or reward-edit."),
    ],
    data: Annotated[
        str, typer.Argument(help="Its folder, or its name on the hub.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The run's folder.", show_default=False)],
    split: Annotated[str | None, typer.Option(help="One of its splits. (default: all)")] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FIELD=COLUMN", help="For the kind table; can repeat."),
    ] = None,
    rewards: Annotated[
        Path | None, typer.Option(help="RewardEdit's JSON, for the kind reward-edit.")
    ] = None,
    inverse: Annotated[
        bool | None,
        typer.Option("--inverse/--no-inverse", help="Add each edit's way back. (default: hq-edit)"),
    ] = None,
    heldout: Annotated[
        float, typer.Option(min=0, max=1, help="Hold out this share of a training set, by lot.")
    ] = 0.0,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Import so many edits, drawn by lot. (default: all)")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Of edits without one. (default: what the set's card says)")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="A test set to look for: a list of hashes, or LAYOUT:PATH; can repeat."),
    ] = None,
    drop_contaminated: Annotated[
        bool, typer.Option("--drop-contaminated", help="Leave out what is found in a test set.")
    ] = False,
    download: Annotated[
        bool, typer.Option("--download", help="Get the data set from the hub.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="The seed of the lots.")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that read. (default: one a core)")
    ] = None,
    new_version: Annotated[
        bool, typer.Option("--new-version", help="Go on although settings or data changed.")
    ] = False,
) -> None:
    """Turn a published data set into a run's data, or go on with it."""
    from editloop.commands.terminal import build_progress, print_contamination, print_results
    from editloop.sources import import_data as importing

    with going_on_later(), build_progress() as progress:
        results = importing.import_data(
            kind,
            data,
            out,
            workers=workers,
            new_version=new_version,
            progress=progress,
            split=split,
            columns=_pairs(columns or ()),
            rewards=rewards,
            inverse=inverse,
            heldout=heldout,
            sample=sample,
            licence=licence,
            against=against or (),
            drop_contaminated=drop_contaminated,
            download=download,
            seed=seed,
        )
    print_results(results)
    print_contamination(results)
    typer.echo(f"data: {out / 'data'}")


def hash_data(
    data: Annotated[Path, typer.Argument(help="A test set's folder.", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Where to write.", show_default=False)
    ],
    layout: Layout = None,
    name: Annotated[str | None, typer.Option(help="Its name. (default: the folder's)")] = None,
) -> None:
    """Write a test set's hashes, which tell its edits again and hold none of them."""
    from editloop.sources.against import hash_folder
    from editloop.sources.hashes import write_hashes

    listed = hash_folder(data, layout=layout, name=name)
    write_hashes(listed, output)
    typer.echo(f"{output}: {listed.edits} edits of {listed.name}")


def _pairs(texts: list[str] | tuple[()]) -> dict[str, str]:
    """FIELD=COLUMN, repeated, as a mapping."""
    from editloop.errors import RecipeError

    found: dict[str, str] = {}
    for text in texts:
        field, equals, column = text.partition("=")
        if not equals or field in found:
            cause = "a field is mapped twice" if equals else "a map names no column"
            raise RecipeError(cause, value=text, fix="write --map FIELD=COLUMN, once a field")
        found[field] = column
    return found
