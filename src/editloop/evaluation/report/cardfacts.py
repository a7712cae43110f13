"""Describe a protocol card in a report: what was measured, how, and on how much of its test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from editloop.evaluation.protocol.card import JudgeCard, Protocol
from editloop.evaluation.protocol.sizes import judged_size, measured_size
from editloop.schema import Json
from editloop.showing.labels import label, ordered
from editloop.showing.telling import told_notices, told_settings

__all__ = ["CardFacts", "card_facts", "further_metrics"]

_LEFT_OUT = {
    "identical-captions": "the captions before and after are the same",
    "caption-is": "a caption says nothing of the picture",
}
_READING = {
    "normalised": "read upright, as 8 bit sRGB on white",
    "bare": 'read by `convert("RGB")` alone',
}
_AVERAGING = {"cases": "the mean over cases", "groups": "the mean of the groups' means"}


@dataclass(frozen=True, slots=True)
class CardFacts:
    """A card as the page shows it; `facts` maps terms to their descriptions, in order.

    `amount` says in a few words how much of the published test set was evaluated.
    """

    name: str
    title: str
    version: int
    about: str
    whole: bool
    amount: str
    facts: Mapping[str, str | Sequence[str]]


def card_facts(facts: Mapping[str, Json], card: Protocol | None) -> CardFacts:
    """Describe the card that a benchmark's `facts` (of `results.json`) name.

    `card` is the card itself, if it is available and unchanged since the evaluation.
    """
    stated = facts["protocol"]
    return CardFacts(
        name=stated["name"],
        title=stated["title"],
        version=stated["version"],
        about="" if card is None else card.about,
        whole=_is_whole(stated),
        amount=_amount(stated),
        facts=dict(_terms(facts, card)),
    )


def further_metrics(facts: Mapping[str, Json], card: Protocol | None) -> set[str]:
    """Return the metrics measured in addition to the card's; empty if the card is unavailable."""
    return set() if card is None else set(facts["metrics"]["versions"]) - set(card.metrics)


def _terms(
    facts: Mapping[str, Json], card: Protocol | None
) -> Iterator[tuple[str, str | Sequence[str]]]:
    stated, made, metrics = facts["protocol"], facts["made_from"], facts["metrics"]["versions"]
    unasked = () if card is None else [name for name in card.metrics if name not in metrics]
    yield "source", stated["source"]
    yield "test", _test(stated, sum(facts["left_out"].values()))
    if facts["left_out"]:
        yield "left out", _left_out(facts["left_out"])
    if told := list(told_notices(facts)):
        yield "to know of the data", told
    for each in facts["editors"]:
        if editing := each.get("editing"):
            yield f"settings of {each['name']}", f"{told_settings(editing)}; {editing['why']}"
        if told := list(told_notices(each)):
            yield f"to know of {each['name']}", told
    if unasked:
        yield "not asked for", ", ".join(map(label, unasked))
    yield "pictures", _READING[stated.get("reading", "bare")]
    yield "numbers", f"{_AVERAGING[stated['averaging']]}; models in {made['precision']}"
    if made["judge"] is not None:
        yield "judge", _judge(made["judge"])
    if metrics:
        yield "metrics", [_metric(name, metrics[name]) for name in ordered(metrics)]
    yield "fingerprints", f"protocol {stated['fingerprint']}, data {made['data']}"


def _metric(name: str, facts: Sequence[Json]) -> str:
    """Return a metric's name, SPEC's kind and settings, version, and the size that it sees."""
    _, version, kind, settings, *_ = facts
    seen = measured_size(kind, settings)
    kind = f"{kind} {settings['target']}" if "target" in settings else kind
    rest = [f"{key} {value}" for key, value in settings.items() if key != "target"]
    terms = ", ".join([kind, *rest])
    return f"{label(name)}: {terms}, version {version}; sees {seen}"


def _left_out(counts: Mapping[str, int]) -> str:
    return "; ".join(
        f"{count:,} {_cases(count)}: {_LEFT_OUT.get(rule, rule)}" for rule, count in counts.items()
    )


def _test(stated: Mapping[str, Json], left_out: int) -> str:
    given, published = stated["given"], stated["published"]
    if not any(published.values()):
        return f"{_counted(given, left_out)}; the card does not say how many the published test has"
    if _is_whole(stated):
        return f"the whole published test: {_counted(given, left_out)}"
    parts = ", ".join(
        f"{given[name]:,} of {count:,} {name}" for name, count in published.items() if count
    )
    return f"not the whole published test: {parts}"


def _amount(stated: Mapping[str, Json]) -> str:
    given, published = stated["given"]["cases"], stated["published"]["cases"]
    if _is_whole(stated):
        return f"{given:,} cases, whole"
    return f"{given:,} of {published:,} cases" if published else f"{given:,} {_cases(given)}"


def _is_whole(stated: Mapping[str, Json]) -> bool:
    return bool(stated["whole"]) and any(stated["published"].values())


def _counted(given: Mapping[str, int], left_out: int) -> str:
    """Return a text such as `12 cases in 6 sessions`, or only the cases if all are single edits."""
    cases, sessions = given["cases"], given["sessions"]
    text = f"{cases:,} {_cases(cases)}"
    return text if sessions == cases - left_out else f"{text} in {sessions:,} sessions"


def _cases(count: int) -> str:
    return "case" if count == 1 else "cases"


def _judge(judge: Mapping[str, Json]) -> str:
    text = " ".join(judge["judge"]) if judge["judge"] else "none was given"
    text += f"; sees edits {judged_size(JudgeCard.model_validate(judge['card']))}"
    published = judge["card"].get("published")
    return text if published is None else f"{text}; the published numbers are of {published}"
