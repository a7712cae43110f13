"""Views of protocols for the report's template: cards, tables, curves and galleries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from markupsafe import Markup

from editloop.evaluation.protocol.card import Protocol
from editloop.evaluation.report.cardfacts import CardFacts, card_facts, further_metrics
from editloop.evaluation.report.casetables import CaseTable
from editloop.evaluation.report.protocol_gallery import Gallery
from editloop.evaluation.report.roster import colours_of, curve_of, does_nothing, editors_of
from editloop.schema import Json
from editloop.showing.curves import sweep_chart, turn_chart
from editloop.showing.labels import label, less_is_better, ordered, ranked_by
from editloop.showing.tables import Table, by_metric, by_slice
from editloop.showing.telling import unlike_the_card

__all__ = ["ProtocolPart", "ProtocolView", "Ranked", "Slices", "protocols"]

_AXES = {"group": "kind of edit", "type": "edit type"}


@dataclass(frozen=True, slots=True)
class Ranked:
    """The metric by which an editor's cases are ranked; `less`: a lower value is better."""

    editor: str
    metric: str
    less: bool


@dataclass(frozen=True, slots=True)
class Slices:
    """A benchmark's numbers by one axis: one table per metric, with the metric's label.

    `open`: the page shows the first table without a click.
    """

    title: str
    tables: Sequence[tuple[str, Table]]
    open: bool


@dataclass(slots=True)
class ProtocolView:
    """One benchmark of a protocol; `galleries` are filled in by the report."""

    name: str
    cases: int
    way: str
    fingerprint: str
    editors: Sequence[str]
    owners: Sequence[str]  # the editors, without the values of a swept setting
    colours: Mapping[str, str]
    table: Table
    sweep: Markup | None
    turns: Sequence[tuple[str, Markup]]
    slices: Sequence[Slices]
    ranked: Sequence[Ranked]
    galleries: Sequence[Gallery] = field(default_factory=tuple)


@dataclass(slots=True)
class ProtocolPart:
    """A protocol and its benchmarks; `problem` is why sources and targets are not shown."""

    card: CardFacts
    benchmarks: Sequence[ProtocolView]
    problem: str | None = None


def protocols(
    results: Mapping[str, Json], tables: Mapping[str, CaseTable], cards: Mapping[str, Protocol]
) -> list[ProtocolPart]:
    """Return every protocol of a run; `cards` are the available ones, by fingerprint."""
    facts = {
        name: own for name, own in results.get("benchmarks", {}).items() if own.get("protocol")
    }
    colours = colours_of(results)
    parts = []
    for _, names in groupby(facts, key=lambda name: facts[name]["protocol"]["name"]):
        own = list(names)
        card = cards.get(facts[own[0]]["protocol"]["fingerprint"])
        views = [
            _view(_Found(name, results, facts[name], tables.get(name), card), colours)
            for name in own
            if name in results["evaluation"]
        ]
        views.sort(key=lambda view: ("/mask" in view.name, bool(view.turns)))
        parts.append(ProtocolPart(card_facts(facts[own[0]], card), views))
    return parts


@dataclass(frozen=True, slots=True)
class _Found:
    """The results, facts, table and card of one benchmark."""

    name: str
    results: Mapping[str, Json]
    facts: Mapping[str, Json]
    table: CaseTable | None
    card: Protocol | None

    @property
    def scores(self) -> Mapping[str, Json]:
        """The estimates: editor -> metric -> estimate."""
        found: Mapping[str, Json] = self.results["evaluation"][self.name]
        return found

    @property
    def slices(self) -> Mapping[str, Json]:
        """The estimates by axis: editor -> axis -> value of the axis -> metric -> estimate."""
        found: Mapping[str, Json] = self.results.get("slices", {}).get(self.name, {})
        return found

    @property
    def metrics(self) -> list[str]:
        """All metrics, in the card's order as far as it is known."""
        names = {metric for scores in self.scores.values() for metric in scores}
        known = [] if self.table is None else [each for each in self.table.metrics if each in names]
        return known + ordered(names - set(known))

    @property
    def available(self) -> list[str]:
        """The metrics for which at least one editor has a mean."""
        return [
            metric
            for metric in self.metrics
            if any(
                scores.get(metric, {}).get("mean") is not None for scores in self.scores.values()
            )
        ]

    @property
    def sweeps(self) -> bool:
        """True if the protocol sweeps a setting; then no point of a curve is marked as best."""
        return self.facts.get("sweep") is not None

    @property
    def measured(self) -> dict[str, str]:
        """The metric kinds by the card's metric names."""
        return {name: facts[0] for name, facts in self.facts["metrics"]["versions"].items()}


def _view(found: _Found, colours: Mapping[str, str]) -> ProtocolView:
    editors = editors_of(found.scores, found.facts)
    own = {editor: colours[editor] for editor in editors}
    sweep = found.facts.get("sweep")
    drifting = found.available if found.table is not None and found.table.drifts else ()
    charts = [(label(each), turn_chart(found.slices, own, each)) for each in drifting]
    return ProtocolView(
        name=found.name,
        cases=found.facts["cases"],
        way=_way(found.table, given_mask=found.facts["made_from"]["mask"]),
        fingerprint=found.facts["fingerprint"],
        editors=editors,
        owners=list(dict.fromkeys(curve_of(found.facts).get(each, each) for each in editors)),
        colours={**own, **({name: colours[name] for name in sweep["curves"]} if sweep else {})},
        table=_table(found, editors),
        sweep=sweep_chart(found.scores, sweep, colours) if sweep else None,
        turns=[(name, chart) for name, chart in charts if chart is not None],
        slices=_slices(found, editors),
        ranked=_ranked(found, editors),
    )


def _table(found: _Found, editors: Sequence[str]) -> Table:
    """Return the table of all metrics; those not in the protocol are marked."""
    metrics, further = found.metrics, further_metrics(found.facts, found.card)
    table = by_metric(found.scores, editors, metrics, None if found.sweeps else found.measured)
    columns = [
        replace(column, note="beside the protocol") if metric in further else column
        for metric, column in zip(metrics, table.columns, strict=True)
    ]
    notes = {
        each["name"]: note for each in found.facts["editors"] if (note := unlike_the_card(each))
    }
    return replace(table, columns=columns, notes=notes)


def _slices(found: _Found, editors: Sequence[str]) -> list[Slices]:
    """Return tables by each axis that splits the cases in a way that no earlier axis does."""
    axes = dict(_AXES)
    if found.table is not None and not found.table.drifts:
        axes["turn"] = "turn" if found.table.sessions else "turns of the session"
    measured, lead = None if found.sweeps else found.measured, ranked_by(found.available)
    made: dict[tuple[object, ...], Slices] = {}
    for axis, title in axes.items():
        tables = [
            (label(metric), by_slice(found.slices, editors, axis, metric, measured))
            for metric in sorted(found.available, key=lambda each: each != lead)
        ]
        if tables and len(tables[0][1].columns) > 1:
            rows = [cells for _, cells in tables[0][1].rows]
            columns = sorted(zip(*rows, strict=True), key=str)
            is_open = axis != "turn" and not found.sweeps
            made.setdefault(tuple(columns), Slices(title, tables, is_open))
    return list(made.values())


def _ranked(found: _Found, editors: Sequence[str]) -> list[Ranked]:
    """Return the editors to rank, each with its first available metric.

    Editors that do nothing are left out, unless all do; a curve is represented by its middle.
    """
    owners = curve_of(found.facts)
    seats: dict[str, list[str]] = defaultdict(list)
    for editor in editors:
        seats[owners.get(editor, editor)].append(editor)
    middle = [own[len(own) // 2] for own in seats.values()]
    active = [editor for editor in middle if not does_nothing(editor, found.facts)] or middle
    made = []
    for editor in active:
        scores = found.scores[editor]
        metric = ranked_by(each for each in found.available if scores[each]["mean"] is not None)
        if metric is not None:
            less = less_is_better(metric, found.measured.get(metric))
            made.append(Ranked(editor, metric, less))
    return made


def _way(table: CaseTable | None, *, given_mask: bool) -> str:
    """Describe in a sentence or two how the editors were evaluated."""
    sentences = []
    if table is not None and table.drifts:
        sentences.append("Each turn starts from the editor's own picture of the turn before.")
    elif table is not None and table.builds:
        sentences.append("Edits build on one another; the last picture of each session counts.")
    elif table is not None and table.sessions:
        sentences.append("Each edit starts from the truth of the turn before; every turn counts.")
    if given_mask:
        sentences.append("Editors are given the mask.")
    return " ".join(sentences)
