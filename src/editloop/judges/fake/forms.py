"""Rubrics as the fake server uses them: recognising a request's rubric, and writing its reply."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from editloop.chat.fake.request import FakeRequest
from editloop.chat.prompts import Prompt
from editloop.judges.outcomes import OUTCOME
from editloop.judges.rubrics import Rubric
from editloop.schema import PERSPECTIVES, Json, Score, Verdict

__all__ = ["asks_by", "declined", "preference", "scores"]

_TIE = 0.25  # points of 15

# The perspectives that make up one of another name; names not listed here use all three.
_MADE_OF: Mapping[str, Sequence[str]] = {
    **{name: (name,) for name in PERSPECTIVES},
    "alignment": ("following", "preserving"),
    "coherence": ("quality",),
    "naturalness": ("quality",),
    "artefacts": ("quality",),
}


def declined(reason: str) -> str:
    """Return the fake server's reply if it does not know the truth."""
    return f"I'm sorry, I can't judge this: {reason}."


def asks_by(prompt: Prompt, asked: FakeRequest) -> bool:
    """Return whether a request has all of a prompt's words, and as many pictures."""
    text = "\n".join(asked.texts)
    words = [piece.strip() for piece in (prompt.system, *prompt.pieces[::2])]
    return len(prompt.shows) == len(asked.links) and all(each in text for each in words)


def scores(rubric: Rubric, verdict: Verdict) -> str:
    """Return the reply with a verdict's scores (0 to 5), converted to the rubric's scales."""
    fields: list[tuple[str | None, Json]] = []
    for name, scale in rubric.perspectives.items():
        score = _lowest(verdict, _MADE_OF.get(name, PERSPECTIVES))
        if score is None:
            return declined("it cannot be seen in the truth")
        value = scale.low + score.value * ((scale.high - scale.low) / 5)
        if name == OUTCOME:
            value = _outcome(verdict)
        passed = "yes" if score.passed else "no"
        fields += [(scale.text, score.text), (scale.value, value), (scale.passed, passed)]
    return _written(rubric, fields)


def preference(rubric: Rubric, first: Verdict, second: Verdict) -> str:
    """Return the reply that prefers the edit with the larger sum over all three perspectives."""
    choice = rubric.preference
    assert choice is not None
    sums = [_sum(verdict) for verdict in (first, second)]
    if sums[0] is None or sums[1] is None:
        return declined("one of the edits cannot be seen in the truth")
    better = choice.first if sums[0] > sums[1] else choice.second
    better = choice.tie if abs(sums[0] - sums[1]) < _TIE else better
    reason = f"{sums[0]:.1f} points to {sums[1]:.1f}"
    return _written(rubric, [(choice.text, reason), (choice.key, better)])


def _outcome(verdict: Verdict) -> float:
    """Return the number of an outcome: edited if all is passed, unchanged if nothing was done."""
    given = [score for score in verdict.values() if isinstance(score, Score)]
    following = verdict["following"]
    if isinstance(following, Score) and following.value == 0:
        return 0.0
    return 2.0 if all(score.passed for score in given) else 1.0


def _lowest(verdict: Verdict, names: Sequence[str]) -> Score | None:
    """Return the lowest of these scores; None if one is missing."""
    given = [score for name in names if isinstance(score := verdict[name], Score)]
    return min(given, key=lambda score: score.value) if len(given) == len(names) else None


def _sum(verdict: Verdict) -> float | None:
    given = [score.value for score in verdict.values() if isinstance(score, Score)]
    return sum(given) if len(given) == len(verdict) else None


def _written(rubric: Rubric, fields: Sequence[tuple[str | None, Json]]) -> str:
    """Return the reply in the rubric's form: a JSON object, or one line for each field."""
    named = [(path, value) for path, value in fields if path is not None]
    if rubric.reply == "lines":
        return "\n".join(f"{path}: {value}" for path, value in named)
    root: dict[str, Json] = {}
    for path, value in named:
        *steps, last = path.split(".")
        place = root
        for step in steps:
            place = place.setdefault(step, {})
        place[last] = value
    return json.dumps(_listed(root))


def _listed(content: Json) -> Json:
    """Return the content with objects whose keys are 0, 1, ... converted to lists."""
    if not isinstance(content, dict):
        return content
    inner = {key: _listed(value) for key, value in content.items()}
    if inner and all(key.isdigit() for key in inner):
        return [inner.get(str(at)) for at in range(max(map(int, inner)) + 1)]
    return inner
