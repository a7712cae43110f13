"""Cards with pictures of the pairs on which judge and record differ most."""

from __future__ import annotations

from dataclasses import replace

from editloop.judges.calibration.against_truth import Disagreement, disagreements
from editloop.judges.calibration.asking import Judged
from editloop.judges.calibration.pairs import TruthFacts, TruthPair, TruthPairs
from editloop.showing.cards import Card, CardTurn
from editloop.showing.thumbnails import exact

__all__ = ["disagreement_cards"]

_MOST = 3  # cards for each perspective


def disagreement_cards(judged: Judged[TruthFacts], pairs: TruthPairs) -> dict[str, list[Card]]:
    """Return cards by perspective, the largest difference first."""
    found: dict[str, list[Card]] = {name: [] for name in judged.perspectives}
    for each in disagreements(judged, _MOST):
        found[each.perspective].append(_card(each, pairs[each.at]))
    return {name: cards for name, cards in found.items() if cards}


def _card(found: Disagreement, case: TruthPair) -> Card:
    pair = case.pair
    assert pair.target is not None  # the darkroom made it
    faults = [(each.kind.replace("_", " "), f"{each.severity:g}") for each in case.facts.faults]
    faults_text = "; ".join(fault.text for fault in case.facts.faults) or "without a fault"
    words = [] if found.text is None else [(found.perspective, found.text)]
    pictures = [
        exact("source", pair.source, f"source of “{pair.instruction}”"),
        exact("true target", pair.target, f"after “{pair.instruction}”"),
        replace(
            exact("judged", pair.edited, faults_text),
            numbers=faults or [("no fault", "")],
            words=words,
        ),
    ]
    return Card(
        id=pair.id,
        turns=[CardTurn(pair.instruction, case.facts.edit_type, pictures)],
        note=f"judged {found.judged:.0f}, recorded {found.recorded:.0f}",
    )
