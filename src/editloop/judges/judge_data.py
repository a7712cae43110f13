"""Judging the edits of an existing data set: the Python call behind `editloop judge`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from editloop.kernel.progress import Progress
from editloop.kernel.steps import Keep
from editloop.loop import run as loop
from editloop.loop.build_steps import build_specs
from editloop.loop.recipe import Recipe
from editloop.registry import Spec, create, parse_spec
from editloop.runtime.launcher import led
from editloop.schema import Json
from editloop.settings import validate
from editloop.storage.versions import work_folder

if TYPE_CHECKING:
    from editloop.chat.client import CostEstimate
    from editloop.chat.usage import ChatUsage

__all__ = ["dry_run", "judge", "judge_usage"]

_ODD = re.compile(r"[^\w.+-]+")  # characters not allowed in the name of a recipe or of its part
_BATCH = 64  # edits in memory at a time


@led
def judge(
    data: str | Path,
    judge: str | Path | Mapping[str, Json],
    out: str | Path,
    *,
    seed: int = 0,
    workers: int | None = None,
    engine: str = "processes",
    new_version: bool = False,
    progress: Callable[[Progress], None] | None = None,
    **source: Json,
) -> dict[str, Json]:
    """Add a judge's scores and words to the edits in the folder `data`; return the run's results.

    `judge` is a SPEC, a YAML file that holds one (a mapping with `kind`), or such a mapping. `out`
    is a run folder as `run` makes one, with the judged data, `evaluation/rewards` and a report. The
    same call resumes an interrupted run, and judges nothing again after a complete one. `source`
    holds settings of the source `layout`, such as `sample` (the size of a random sample of the
    edits) and `layout` (KIND[?key=value]).
    """
    recipe = _recipe(data, judge, seed, source)
    return loop.run(
        recipe, out, workers=workers, engine=engine, new_version=new_version, progress=progress
    )


def dry_run(
    data: str | Path, judge: str | Path | Mapping[str, Json], *, seed: int = 0, **source: Json
) -> CostEstimate:
    """Return an estimate of the calls and cost of `judge`; asks nothing.

    The data is read, because a question that is already in the ledger costs nothing.
    """
    from editloop.chat.client import CostEstimate

    sources, steps = build_specs(_recipe(data, judge, seed, source))
    edits, judges = sources[0].create(), steps[0].create()
    total = CostEstimate()
    listed = edits.items()
    while items := list(islice(listed, _BATCH)):
        loaded = edits.load(items)
        samples = [each.samples[0] for each in loaded if isinstance(each, Keep)]
        total = sum(judges.estimate(samples), total)
    return total


def judge_usage(judge: str | Path | Mapping[str, Json], out: str | Path) -> ChatUsage:
    """Return the usage of a judge's servers by all processes of the run in `out` since it began."""
    spec = _spec(judge)
    step = create("build", "judge", {"judge": {**spec.settings, "kind": spec.kind}})
    counts: ChatUsage = step.usage(work_folder(Path(out)) / "cache")
    return counts


def _recipe(
    data: str | Path, judge: str | Path | Mapping[str, Json], seed: int, source: Mapping[str, Json]
) -> Recipe:
    spec = _spec(judge)
    path = Path(data).expanduser().absolute()
    content = {
        "name": _ODD.sub("-", path.name) or "data",
        "seed": seed,
        "sources": [{"kind": "layout", "path": str(path), **_laid_out(source)}],
        "judge": [{**spec.settings, "kind": spec.kind, "name": _ODD.sub("-", spec.name)}],
        "evaluate": [{"kind": "rewards"}],
    }
    return validate(Recipe, content, where="judge")


def _spec(judge: str | Path | Mapping[str, Json]) -> Spec:
    if isinstance(judge, Mapping):
        return parse_spec(judge, "judge")
    return parse_spec(str(judge), "judge")


def _laid_out(source: Mapping[str, Json]) -> dict[str, Json]:
    """Return the source's settings, with a layout's SPEC split into its kind and options."""
    if source.get("layout") is None:
        return dict(source)
    layout = parse_spec(source["layout"], "layout")
    options = {**source.get("options", {}), **layout.settings}
    return {**source, "layout": layout.kind, "options": options}
