"""A protocol card's words in a report: what was measured by it, how, on how much of its test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from editloop.evaluation.protocol.card import Protocol
from editloop.schema import Json
from editloop.showing.labels import label, ordered
from editloop.showing.telling import told_leftovers

__all__ = ["CardFacts", "card_facts", "further_metrics"]

_LEFT_OUT = {
    "identical-captions": "the captions before and after are the same",
    "caption-is": "a caption says nothing of the picture",
}
_AVERAGING = {"cases": "the mean over cases", "groups": "the mean of the groups' means"}


@dataclass(frozen=True, slots=True)
class CardFacts:
    """A card as the page shows it; `facts` are terms and what is said of them, in order.

    `amount` is how much of the published test was given, in a few words.
    """

    name: str
    title: str
    version: int
    about: str
    whole: bool
    amount: str
    facts: Mapping[str, str | Sequence[str]]


def card_facts(facts: Mapping[str, Json], card: Protocol | None) -> CardFacts:
    """The card that a benchmark's `facts` (of `results.json`) name.

    `card` is the card itself, if it is at hand and still the one that was used.
    """
    told = facts["protocol"]
    return CardFacts(
        name=told["name"],
        title=told["title"],
        version=told["version"],
        about="" if card is None else card.about,
        whole=_is_whole(told),
        amount=_amount(told),
        facts=dict(_terms(facts, card)),
    )


def further_metrics(facts: Mapping[str, Json], card: Protocol | None) -> set[str]:
    """The metrics that were measured beside the card's; none where the card is not at hand."""
    return set() if card is None else set(facts["metrics"]["versions"]) - set(card.metrics)


def _terms(
    facts: Mapping[str, Json], card: Protocol | None
) -> Iterator[tuple[str, str | Sequence[str]]]:
    told, made, metrics = facts["protocol"], facts["made_from"], facts["metrics"]["versions"]
    unasked = () if card is None else [name for name in card.metrics if name not in metrics]
    yield "source", told["source"]
    yield "test", _test(told, sum(facts["left_out"].values()))
    if facts["left_out"]:
        yield "left out", _left_out(facts["left_out"])
    for each in facts["editors"]:
        if each.get("leftovers"):
            yield f"left over of {each['name']}", told_leftovers(each["leftovers"])
    if unasked:
        yield "not asked for", ", ".join(map(label, unasked))
    yield "numbers", f"{_AVERAGING[told['averaging']]}; models in {made['precision']}"
    if made["judge"] is not None:
        yield "judge", _judge(made["judge"])
    if metrics:
        yield "metrics", [_metric(name, metrics[name]) for name in ordered(metrics)]
    yield "fingerprints", f"protocol {told['fingerprint']}, data {made['data']}"


def _metric(name: str, said: Sequence[Json]) -> str:
    """A metric's name and what it stands for: its SPEC's kind and settings, its version."""
    _, version, kind, settings, *_ = said
    kind = f"{kind} {settings['target']}" if "target" in settings else kind
    rest = [f"{key} {value}" for key, value in settings.items() if key != "target"]
    return f"{label(name)}: {', '.join([kind, *rest])}, version {version}"


def _left_out(counts: Mapping[str, int]) -> str:
    return "; ".join(
        f"{count:,} {_cases(count)}: {_LEFT_OUT.get(rule, rule)}" for rule, count in counts.items()
    )


def _test(told: Mapping[str, Json], left_out: int) -> str:
    given, published = told["given"], told["published"]
    if not any(published.values()):
        return f"{_counted(given, left_out)}; the card does not say how many the published test has"
    if _is_whole(told):
        return f"the whole published test: {_counted(given, left_out)}"
    parts = ", ".join(
        f"{given[name]:,} of {count:,} {name}" for name, count in published.items() if count
    )
    return f"not the whole published test: {parts}"


def _amount(told: Mapping[str, Json]) -> str:
    given, published = told["given"]["cases"], told["published"]["cases"]
    if _is_whole(told):
        return f"{given:,} cases, whole"
    return f"{given:,} of {published:,} cases" if published else f"{given:,} {_cases(given)}"


def _is_whole(told: Mapping[str, Json]) -> bool:
    return bool(told["whole"]) and any(told["published"].values())


def _counted(given: Mapping[str, int], left_out: int) -> str:
    """`12 cases in 6 sessions`, or the cases alone where each stands alone."""
    cases, sessions = given["cases"], given["sessions"]
    text = f"{cases:,} {_cases(cases)}"
    return text if sessions == cases - left_out else f"{text} in {sessions:,} sessions"


def _cases(count: int) -> str:
    return "case" if count == 1 else "cases"


def _judge(judge: Mapping[str, Json]) -> str:
    text = " ".join(judge["judge"]) if judge["judge"] else "none was given"
    published = judge["card"].get("published")
    return text if published is None else f"{text}; the published numbers are of {published}"
