"""The commands of judges: score a data set, say how far to trust one, and a model to try it on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from editloop.commands.common import CallsDryRun, DataFolder, JudgeSpec, Layout, going_on_later

__all__ = ["calibrate", "fake_server", "judge"]


def judge(
    data: DataFolder,
    judge: JudgeSpec,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder. (default: runs/judged-NAME)")
    ] = None,
    layout: Layout = None,
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
    dry_run: CallsDryRun = False,
) -> None:
    """Add a judge's scores and words to a data set's edits, or go on with it."""
    from editloop.commands.terminal import build_progress, print_asked, print_expected
    from editloop.judges import judge_data
    from editloop.quality.rewards.table import print_rewards

    source = {
        "layout": layout,
        "sample": sample,
        "only": None if only is None else str(only.absolute()),
    }
    if dry_run:
        print_expected(judge_data.dry_run(data, judge, seed=seed, **source))
        return
    folder = out or Path("runs") / f"judged-{data.resolve().name}"
    with going_on_later(), build_progress() as progress:
        results = judge_data.judge(
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
    print_asked(judge_data.judge_usage(judge, folder))
    typer.echo(f"rewards: {folder / 'evaluation' / 'rewards' / 'rewards.html'}")


def calibrate(
    judge: JudgeSpec,
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
    dry_run: CallsDryRun = False,
) -> None:
    """Say how far a judge can be trusted: against truth, sanity, itself and people."""
    from editloop.commands.terminal import print_expected
    from editloop.judges.calibration import calibrating
    from editloop.judges.calibration.table import print_calibration

    paths = {"frozen": frozen, "ratings": ratings, "data": data}
    given = {name: str(path) for name, path in paths.items() if path is not None}
    settings = {"pairs": pairs, "repeats": repeats, "seed": seed, **given}
    if dry_run:
        print_expected(calibrating.plan_calibration(judge, out, **settings))
        return
    with going_on_later():
        results = calibrating.calibrate(judge, out, **settings)
    print_calibration(results)
    typer.echo(f"calibration: {out / 'calibration.html'}")


def fake_server(
    data: Annotated[
        Path, typer.Argument(help="A folder of edits that the darkroom made.", show_default=False)
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of this machine; 0: a free one.")] = (
        8010
    ),
    latency: Annotated[float, typer.Option(min=0, help="Seconds that a reply takes.")] = 0.0,
    faults: Annotated[
        float, typer.Option(min=0, max=1, help="Share of requests that fail in some way.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="The seed of faults and latency.")] = 0,
) -> None:
    """Play a vision-language model that knows the truth, to try judging without one."""
    from editloop.judges.fake.data import serve

    with serve(data, port=port, latency=latency, faults=faults, seed=seed) as server:
        typer.echo(f"the model `fake` answers at {server.base_url}; Ctrl-C ends it")
        try:
            server.wait()
        except KeyboardInterrupt:
            seen = server.seen
            typer.echo(f"{seen.requests:,} requests, {sum(seen.faults.values()):,} met a fault")
