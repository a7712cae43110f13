"""Evaluate editors by a published protocol; the Python call behind `editloop evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from editloop.hub import weights
from editloop.loop import run as loop
from editloop.loop.entries import Entry
from editloop.loop.recipe import Recipe
from editloop.registry import create
from editloop.runtime.launcher import led
from editloop.schema import Json

__all__ = ["evaluate"]


@led
def evaluate(
    protocol: str | Path,
    data: str | Path,
    editors: Sequence[str],
    out: str | Path,
    *,
    seed: int = 0,
    download: bool = False,
    workers: int | None = None,
    engine: str = "processes",
    **settings: Json,
) -> dict[str, Json]:
    """Evaluate editors (SPECs) on the data in a folder by a protocol; returns the run's results.

    `out` is a run folder like that of `run`, with pictures, cases, results and report. Results of
    an earlier evaluation in it are reused, so editors and metrics can be added later. `settings`
    are those of the benchmark `protocol`, as in a recipe. `download` fetches the published weights
    that the metrics and editors load; otherwise the network is not used. `workers` (one per core by
    default) of the `engine`, a SPEC, check the data and measure the answers; neither ever changes a
    result.
    """
    card = Path(protocol).expanduser()
    is_own = card.suffix in (".yaml", ".yml")
    own = {
        # A user's own card is read again when runs are compared, maybe from another folder.
        "protocol": str(card.absolute() if is_own else protocol),
        "data": str(Path(data).expanduser().absolute()),
        "editors": list(editors),
        **settings,
    }
    part = create("evaluate", "protocol", own, where="evaluate")
    if download:
        for name in part.weights:
            weights.download(name)
    name = card.stem if is_own else str(protocol)
    entry = Entry.model_validate({"kind": "protocol", "name": name, **own})
    recipe = Recipe(name=name, seed=seed, evaluate=(entry,))
    return loop.run(recipe, out, workers=workers, engine=engine, new_version=True)
