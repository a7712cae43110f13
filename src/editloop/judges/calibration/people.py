"""Correlation of a judge, and of CLIP's direction, with people's ratings: HQ-Edit's Table 4.

Ratings are a CSV with the columns `id` and `rater`, and one column for each perspective rated
(arXiv:2404.09990, section 4.2), or one as `editloop ranking` takes it, with the ids as its items
and the perspectives as its questions. Both sides are scaled to 0-100 before they are averaged. A
picture that several people rated counts once, with their mean.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from editloop.errors import RecipeError, UnavailableError
from editloop.images.codec import content_hash
from editloop.judges.calibration.asking import Judged
from editloop.judges.calibration.correlations import correlations
from editloop.judges.calibration.estimates import Floats, mean_of
from editloop.judges.calibration.scales import SCALES, related
from editloop.rating.mean_ratings import points_of_100
from editloop.rating.votes import Rating, read_judgements
from editloop.schema import Json
from editloop.statistics.bootstrap import bootstrap_weights
from editloop.storage.csv_rows import csv_columns, read_cells
from editloop.storage.files import explained

__all__ = ["Ratings", "against_people", "read_ratings"]

_KEYS = ("id", "rater")


@dataclass(frozen=True, slots=True)
class Ratings:
    """People's ratings in points of 100: perspective -> id -> rater -> points."""

    points: Mapping[str, Mapping[str, Mapping[str, float]]]
    digest: str

    @property
    def ids(self) -> list[str]:
        """The ids that were rated, in the file's order."""
        return list(dict.fromkeys(name for column in self.points.values() for name in column))


def read_ratings(path: Path, levels: tuple[float, float] = (1, 5)) -> Ratings:
    """Read the ratings in a CSV, whose levels run from the worst to the best of `levels`.

    An empty cell is a missing rating, and ratings by judges are left out. Raises RecipeError, with
    the line, for a level out of range, a second rating of one picture by one rater, and columns
    that are missing or unknown.
    """
    with explained("read ratings", path):
        digest = content_hash(path.read_bytes())[:16]
    columns = csv_columns(path)
    if "question" in columns:
        return Ratings(_answers(path, levels), digest)
    line = 1
    try:
        names = _perspectives(columns)
        found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in names}
        for line, row in read_cells(path):  # noqa: B007
            if isinstance(row, str):
                raise _WrongError(row)
            for name, own in found.items():
                if row[name].strip():
                    _add(own, row, _points(row[name], levels))
    except _WrongError as error:
        low, high = levels
        raise RecipeError(
            f"ratings cannot be read, line {line}: {error}",
            value=path,
            fix=f"write columns id, rater and {' or '.join(SCALES)}; levels {low:g} to {high:g}",
        ) from None
    return Ratings(found, digest)


class _WrongError(ValueError):
    """An error in a file of ratings."""


def _answers(path: Path, levels: tuple[float, float]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the ratings of a study; a rater's first answer counts."""
    rows = read_judgements(path)
    people = [row for row in rows if isinstance(row, Rating) and row.kind == "person"]
    if len({row.editor for row in people}) != 1:
        cause = "ratings of one editor's results are needed, as `item, editor, question, value`"
        raise RecipeError(cause, value=path, fix="write a file for each editor")
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in people:
        try:
            _perspectives([*_KEYS, row.question])
            points = _points(f"{row.value:g}", levels)
            found.setdefault(row.question, {}).setdefault(row.item, {}).setdefault(
                row.rater, points
            )
        except _WrongError as error:
            raise RecipeError(f"the rating of {row.item!r}: {error}", value=path) from None
    return found


def _perspectives(columns: Sequence[str]) -> list[str]:
    for key in _KEYS:
        if key not in columns:
            raise _WrongError(f"there is no column {key!r}")
    names = [name for name in columns if name not in _KEYS]
    for name in names:
        if name not in SCALES:
            close = difflib.get_close_matches(name, SCALES, n=1)
            guess = f", did you mean {close[0]!r}?" if close else ""
            raise _WrongError(f"unknown column {name!r}{guess}")
    if not names:
        raise _WrongError("there is no column for a perspective")
    return names


def _points(text: str, levels: tuple[float, float]) -> float:
    """Return a level in points of 100."""
    try:
        level = float(text)
    except ValueError:
        raise _WrongError(f"{text!r} is not a number") from None
    try:
        return points_of_100(level, levels)
    except ValueError as error:
        raise _WrongError(str(error)) from None


def _add(column: dict[str, dict[str, float]], row: Mapping[str, str], points: float) -> None:
    name, rater = row["id"], row["rater"]
    if not name or not rater:
        raise _WrongError("an id or a rater is empty")
    by_rater = column.setdefault(name, {})
    if rater in by_rater:
        raise _WrongError(f"{rater!r} rates {name!r} a second time")
    by_rater[rater] = points


def against_people(
    judged: Judged[str],
    ratings: Ratings,
    resamples: int,
    rng: np.random.Generator,
    direction: Floats | UnavailableError | None = None,
) -> dict[str, Json]:
    """Return correlations and means for each perspective that people rated.

    The facts of `judged` are ids. A perspective that the judge does not score is compared with the
    related one: alignment with following, coherence with quality. `direction`, CLIP's direction
    similarities of the same pairs in points of 100, stands beside following and alignment.
    """
    weights = bootstrap_weights(judged.facts, resamples, rng)
    found = {name: _compared(judged, ratings, name, weights) for name in ratings.points}
    for name, each in found.items():
        if direction is not None and SCALES[name].families[0] == "following":
            each["clip_direction"] = _beside(direction, judged, ratings, name, weights)
    return found


def _compared(judged: Judged[str], ratings: Ratings, name: str, weights: Floats) -> dict[str, Json]:
    own = related(name, judged.points)
    if own is None:
        return {"reason": f"the judge scores nothing like {name}"}
    by_image = ratings.points[name]
    return {
        "perspective": own,
        "raters": len({rater for given in by_image.values() for rater in given}),
        "ratings": sum(map(len, by_image.values())),
        **_agreement(judged.points[own], _people(judged, ratings, name), weights),
    }


def _beside(
    direction: Floats | UnavailableError,
    judged: Judged[str],
    ratings: Ratings,
    name: str,
    weights: Floats,
) -> dict[str, Json]:
    """Return the agreement of CLIP's direction with people, or why there is none."""
    if isinstance(direction, UnavailableError):
        return {"reason": direction.cause, "command": direction.command}
    if not np.isfinite(direction).any():
        return {"reason": "no rated picture has both captions", "command": None}
    return _agreement(direction, _people(judged, ratings, name), weights)


def _people(judged: Judged[str], ratings: Ratings, name: str) -> Floats:
    """Return the mean rating of each picture, NaN where nobody rated it: [pictures]."""
    given = [list(ratings.points[name].get(each, {}).values()) for each in judged.facts]
    return np.array([float(np.mean(each or [np.nan])) for each in given])


def _agreement(points: Floats, people: Floats, weights: Floats) -> dict[str, Json]:
    """Return means and correlations of the pictures that have both numbers."""
    both = np.isfinite(people) & np.isfinite(points)
    return {
        "images": int(both.sum()),
        "unscored": int((np.isfinite(people) & ~both).sum()),
        "judge": mean_of(np.where(both, points, np.nan), weights),
        "people": mean_of(np.where(both, people, np.nan), weights),
        **correlations(points, people, weights),
    }
