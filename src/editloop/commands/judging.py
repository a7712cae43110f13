"""The commands that judge a data set, calibrate a judge and start a fake model server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from editloop.commands.common import (
    CallsDryRun,
    DataFolder,
    EngineSpec,
    InvertMask,
    JudgeSpec,
    Layout,
    MaskRule,
    going_on_later,
)
from editloop.showing.terminal import say

__all__ = ["calibrate", "fake_server", "judge"]


def judge(
    data: DataFolder,
    judge: JudgeSpec,
    out: Annotated[
        Path | None, typer.Option(help="The run folder to write. (default: runs/judged-NAME)")
    ] = None,
    layout: Layout = None,
    mask_rule: MaskRule = None,
    invert_mask: InvertMask = False,
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Judge a random sample of this many edits. (default: all)"),
    ] = None,
    only: Annotated[
        Path | None,
        typer.Option(help="JSON file with the ids to judge: a list, or a mapping's keys."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of --sample.")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes. (default: one per CPU core)")
    ] = None,
    engine: EngineSpec = "processes",
    new_version: Annotated[
        bool, typer.Option("--new-version", help="Continue although the judge or the data changed.")
    ] = False,
    dry_run: CallsDryRun = False,
) -> None:
    """Score every edit of a data set with a judge and keep its reasons.

    Run the same command again to resume an interrupted run.
    """
    from editloop.commands.terminal import build_progress, print_asked, print_expected
    from editloop.commands.unscored import fail_unscored
    from editloop.judges import judge_data
    from editloop.quality.rewards.table import print_rewards

    source = {
        "layout": layout,
        "mask_rule": mask_rule,
        "invert_mask": invert_mask,
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
            engine=engine,
            new_version=new_version,
            progress=progress,
            **source,
        )
    print_rewards(results)
    print_asked(judge_data.judge_usage(judge, folder))
    say(f"rewards: {folder / 'evaluation' / 'rewards' / 'rewards.html'}")
    fail_unscored(results)


def calibrate(
    judge: JudgeSpec,
    out: Annotated[Path, typer.Option(help="The folder for results and pages.")] = Path(
        "runs/calibration"
    ),
    pairs: Annotated[
        int, typer.Option(min=56, help="Number of test pairs with known faults.")
    ] = 448,
    repeats: Annotated[
        int, typer.Option(min=1, help="How often the pairs of the stability test are judged.")
    ] = 3,
    frozen: Annotated[
        Path | None,
        typer.Option(help="frozen.parquet of an earlier calibration, to measure drift."),
    ] = None,
    ratings: Annotated[
        Path | None, typer.Option(help="CSV file of human ratings to compare with.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The data set that was rated. (default: the test pairs)")
    ] = None,
    mask_rule: MaskRule = None,
    invert_mask: InvertMask = False,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the test pairs.")] = 0,
    dry_run: CallsDryRun = False,
) -> None:
    """Measure how far a judge can be trusted: accuracy, sanity checks, stability, agreement.

    The judge scores pairs with known faults (accuracy), simple cases with a known answer (sanity)
    and some pairs again (stability); its scores are compared with human ratings where given
    (agreement).
    """
    from editloop.commands.terminal import print_expected
    from editloop.commands.unscored import fail_uncalibrated
    from editloop.judges.calibration import calibrating
    from editloop.judges.calibration.table import print_calibration

    paths = {"frozen": frozen, "ratings": ratings, "data": data}
    given = {name: str(path) for name, path in paths.items() if path is not None}
    masks = {"mask_rule": mask_rule, "invert_mask": invert_mask}
    settings = {"pairs": pairs, "repeats": repeats, "seed": seed, **masks, **given}
    if dry_run:
        print_expected(calibrating.estimate_calibration(judge, out, **settings))
        return
    with going_on_later():
        results = calibrating.calibrate(judge, out, **settings)
    print_calibration(results)
    say(f"calibration: {out / 'calibration.html'}")
    fail_uncalibrated(results)


def fake_server(
    data: Annotated[
        Path | None,
        typer.Argument(help="A folder of edits made by the darkroom.", show_default=False),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")
    ] = 8010,
    latency: Annotated[float, typer.Option(min=0, help="Delay of each reply in seconds.")] = 0.0,
    faults: Annotated[
        float, typer.Option(min=0, max=1, help="Fraction of requests that fail in some way.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of faults and latency.")] = 0,
    dialect: Annotated[
        str, typer.Option(help="Dialect of the images endpoints: openai or vllm-omni.")
    ] = "openai",
) -> None:
    """Start a fake model server, to try judging and recipes without a model.

    It judges and writes from the known truth of the darkroom's edits, edits and makes pictures with
    the darkroom, and moderates texts.
    """
    from editloop.generation.fake_server import serve

    with serve(
        data, port=port, latency=latency, faults=faults, seed=seed, dialect=dialect
    ) as server:
        say(f"serving the model `fake` at {server.base_url}; Ctrl-C stops it")
        try:
            server.wait()
        except KeyboardInterrupt:
            seen = server.seen
            say(f"{seen.requests:,} requests, {sum(seen.faults.values()):,} met a fault")
