"""The verb `ranking`: `ranking.json` and its page from people's votes or ratings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np

from editloop.errors import RecipeError
from editloop.rating.by_votes import rank_by_votes
from editloop.rating.mean_ratings import in_points, judge_correlation, mean_ratings
from editloop.rating.page import write_ranking_page
from editloop.rating.vote_agreement import judge_agreement
from editloop.rating.votes import Judgement, Rating, Vote, questions, read_judgements
from editloop.schema import Json
from editloop.storage.files import Files, explained, replace_file

__all__ = ["rank", "rank_judgements"]

STUDY_VOTES = "votes.csv"  # the votes in a study's folder


def rank(
    votes: str | Path, out: str | Path, *, levels: tuple[float, float] | None = None, seed: int = 0
) -> dict[str, Json]:
    """Rank the editors of a CSV of votes, or of a study's folder; write `ranking.json` and a page.

    A CSV of single ratings gives means instead; with `levels`, the worst and the best one, they are
    on HQ-Edit's scale of 0 to 100. The folder `out` is made if it is missing. `seed` is that of the
    bootstraps. Raises RecipeError for a file that cannot be read as judgements, and for levels that
    cannot act.
    """
    source, folder = Path(votes), Path(out)
    rows = read_judgements(source / STUDY_VOTES if source.is_dir() else source)
    if levels is not None:
        if not isinstance(rows[0], Rating):
            raise RecipeError("votes have no levels", value=levels, fix="leave levels out")
        rows = in_points(rows, levels)
    results = rank_judgements(rows, seed=seed)
    text = json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with explained("write the ranking", folder):
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(Files(), folder / "ranking.json", text.encode("utf-8"))
    write_ranking_page(results, folder / "ranking.html", title=source.stem)
    return results


def rank_judgements(rows: Sequence[Vote] | Sequence[Rating], *, seed: int = 0) -> dict[str, Json]:
    """Return the ranking of votes, or the means of ratings, by question, as in `ranking.json`.

    People and judges are never mixed: if both voted, the ranking is that of the people, and
    `judges` says how often each judge agrees with them.
    """
    people = [row for row in rows if row.kind == "person"]
    judges = [row for row in rows if row.kind == "judge"]
    chosen = people or judges
    results: dict[str, Json] = {"seed": seed, "raters": "people" if people else "judges"}
    found = [_question(name, own, seed) for name, own in questions(chosen)]
    for part in dict.fromkeys(key for each in found for key in each):
        merged = [each[part] for each in found if part in each]
        results[part] = (
            [one for each in merged for one in each]
            if part == "warnings"
            else {name: value for each in merged for name, value in each.items()}
        )
    if not people:
        results["warnings"].insert(0, _warning("judges", "All answers are of judges, not people."))
    elif judges:
        results["judges"] = _judges(people, judges, np.random.default_rng(seed))
    return results


def _judges(
    people: Sequence[Judgement], judges: Sequence[Judgement], rng: np.random.Generator
) -> dict[str, Json]:
    if isinstance(people[0], Vote):
        return judge_agreement(cast("list[Vote]", people), cast("list[Vote]", judges), rng)
    return judge_correlation(cast("list[Rating]", people), cast("list[Rating]", judges), rng)


def _question(name: str, rows: Sequence[Judgement], seed: int) -> dict[str, Json]:
    """Return the parts of `ranking.json` for one question: part -> question -> numbers."""
    rng = np.random.default_rng([seed, *name.encode("utf-8")])
    found = (
        rank_by_votes(cast("Sequence[Vote]", rows), rng)
        if isinstance(rows[0], Vote)
        else mean_ratings(cast("Sequence[Rating]", rows), rng)
    )
    warnings = [_warning(code, f"“{name}”: {text}") for code, text in found.pop("warnings").items()]
    return {**{part: {name: value} for part, value in found.items()}, "warnings": warnings}


def _warning(code: str, text: str) -> dict[str, str]:
    return {"code": code, "message": text}
