"""Calibration of a judge: the Python call behind `editloop calibrate`.

OUT/calibration.json     all results (deterministic)
OUT/calibration.html     the same as a page
OUT/frozen.parquet       pairs with their scores, for comparison with a later calibration
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from editloop.chat.client import CostEstimate
from editloop.errors import RecipeError
from editloop.images.codec import content_hash
from editloop.images.masks import BY_CONTENT
from editloop.judges.calibration.answers import Answers, Beside, Calibration
from editloop.judges.calibration.direction import ClipDirection
from editloop.judges.calibration.edits import VERSION as EDITS_VERSION
from editloop.judges.calibration.frozen import read_frozen
from editloop.judges.calibration.page import write_calibration_page
from editloop.judges.calibration.people import read_ratings
from editloop.judges.calibration.settings import CalibrationSettings
from editloop.judges.specs import keeping_in, ledger_of
from editloop.registry import parse_spec
from editloop.runtime.launcher import led
from editloop.schema import Json, readable_json
from editloop.settings import validate
from editloop.showing.terminal import escape
from editloop.sources.layouts import layout_of, open_layout
from editloop.storage.files import Files, explained, replace_file, sweep_temporaries
from editloop.storage.locks import lock
from editloop.storage.manifests import find_manifest, record_manifest, withdraw
from editloop.storage.records import fingerprint
from editloop.storage.shards import ShardStore

__all__ = ["calibrate", "estimate_calibration"]

_VERSION = "2"
_NAME = "calibration"
_RESULTS, _PAGE, _FROZEN = "calibration.json", "calibration.html", "frozen.parquet"


@led
def calibrate(judge: str, out: Path | str, **settings: Json) -> dict[str, Json]:
    """Calibrate the judge that a SPEC (or a YAML file) names; return `calibration.json`'s content.

    `settings` are those of `CalibrationSettings`. Everything is kept in `out`: a second run asks
    nothing, and one after an interruption asks only what was not answered. A judge with a ledger
    gets a separate one there, so that no older replies are used.
    """
    place = Path(out)
    place.mkdir(parents=True, exist_ok=True)
    with lock(place), _opened(judge, place, settings) as (calibration, beside):
        made_from = _made_from(calibration, beside)
        found = find_manifest(place, _NAME)
        if found is None or found.fingerprint != made_from or not found.in_place(place):
            _make(calibration, beside, place, made_from)
    results: dict[str, Json] = json.loads((place / _RESULTS).read_bytes())
    return results


def estimate_calibration(judge: str, out: Path | str, **settings: Json) -> CostEstimate:
    """Return the calls, tokens and cost that `calibrate` would take; asks nothing."""
    place = Path(out)
    place.mkdir(parents=True, exist_ok=True)
    with lock(place), _opened(judge, place, settings) as (calibration, beside):
        return calibration.estimate(beside)


@contextmanager
def _opened(
    judge: str, place: Path, settings: Mapping[str, Json]
) -> Iterator[tuple[Calibration, Beside]]:
    """Open a calibration and the data that the judge is compared with."""
    asked = validate(CalibrationSettings, settings, where="calibrate")
    work = place / ".editloop" / _NAME
    spec = parse_spec(judge, "judge")
    if asked.frozen is not None and ledger_of(spec) is not None:
        raise RecipeError(
            "old replies in a ledger would hide a drift of the judge",
            value=ledger_of(spec),
            fix="leave `ledger` out to compare with a frozen set",
        )
    beside = _beside(asked, work / "embeddings")
    spec = keeping_in(spec, work / "ledger.sqlite")
    with closing(Calibration(spec, asked, ShardStore(work), _watched)) as calibration:
        yield calibration, beside


def _beside(asked: CalibrationSettings, embeddings: Path) -> Beside:
    frozen = None if asked.frozen is None else read_frozen(asked.frozen.expanduser())
    if asked.ratings is None:
        return Beside(frozen)
    ratings = read_ratings(asked.ratings.expanduser(), asked.levels)
    direction = ClipDirection(embeddings)
    if asked.data is None:
        return Beside(frozen, ratings, direction=direction)
    layout = parse_spec(asked.layout or layout_of(asked.data), "layout")
    data = open_layout(layout.kind, asked.data, reading=asked.mask_reading, **layout.settings)
    return Beside(frozen, ratings, data, direction)


def _made_from(calibration: Calibration, beside: Beside) -> str:
    """Return a fingerprint of the questions and the judge."""
    ratings, data, direction = beside.ratings, beside.data, beside.direction
    settings = calibration.settings.model_dump(
        mode="json", exclude={"frozen", "ratings", "data", "layout", "mask_rule", "invert_mask"}
    )
    masks = calibration.settings.mask_reading
    return fingerprint(
        {
            "version": [_VERSION, EDITS_VERSION],
            "judge": [calibration.judge.name, calibration.judge.version],
            "settings": settings,
            "frozen": None if beside.frozen is None else _hash(beside.frozen.path),
            "ratings": None if ratings is None else ratings.digest,
            "data": None if data is None else [data.name, data.version, data.digest()],
            "direction": None if direction is None else direction.parameters,
            **({} if masks == BY_CONTENT else {"masks": [masks.rule, masks.invert]}),
        }
    )


def _hash(path: Path) -> str:
    with explained("read a frozen set", path):
        return content_hash(path.read_bytes())


def _make(calibration: Calibration, beside: Beside, place: Path, made_from: str) -> None:
    withdraw(place, _NAME)
    with explained("tidy up a folder", place):
        sweep_temporaries(Files(), place)
    answers = calibration.answers(beside, place / _FROZEN)
    results = {**_facts(calibration, made_from, answers), **answers.results}
    with explained("write a calibration", place / _RESULTS):
        replace_file(Files(), place / _RESULTS, readable_json(results))
    write_calibration_page(results, answers.judged, calibration.pairs, place / _PAGE)
    if not answers.open:
        files = [place / name for name in (_RESULTS, _PAGE, _FROZEN) if (place / name).exists()]
        record_manifest(place, _NAME, files, made_from=made_from)


def _facts(calibration: Calibration, made_from: str, answers: Answers) -> dict[str, Json]:
    judge, settings = calibration.judge, calibration.settings
    return {
        "judge": {"name": judge.name, "version": judge.version},
        "fingerprint": made_from,
        "open": answers.open,
        "seed": settings.seed,
        "resamples": settings.resamples,
        "version": _VERSION,
    }


def _watched(description: str, total: int, cases: Iterable[Any]) -> Iterable[Any]:
    """Return the cases, with a progress bar if the output is a terminal."""
    console = Console(stderr=True)
    return track(
        cases,
        description=escape(description),
        total=total,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
