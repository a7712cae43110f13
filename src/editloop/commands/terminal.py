"""Terminal output of the commands: tables of plans, results, kinds, recipes, protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import yaml
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from editloop.kernel.progress import Progress
from editloop.registry import kinds, load, settings_of
from editloop.schema import Json
from editloop.showing.telling import told_notices, unlike_the_card
from editloop.showing.terminal import escape
from editloop.training.data_facts import notices

__all__ = [
    "build_progress",
    "print_asked",
    "print_contamination",
    "print_expected",
    "print_kinds",
    "print_masks",
    "print_notices",
    "print_operations",
    "print_plan",
    "print_protocol",
    "print_protocols",
    "print_recipes",
    "print_results",
]

# The metrics of a benchmark's summary; the others are in results.json and in the report.
_SHOWN = {
    "following_accuracy": "following",
    "preserving_accuracy": "preserving",
    "quality_accuracy": "quality",
    "all_accuracy": "all three",
    "l1": "L1",
}
_TRAINED = ("samples", "steps", "parameters", "precision", "final_loss", "validation_loss")
_COLUMNS = 5  # metrics beside an editor's name in 80 columns
_NAMED = 3  # entries of a list of notices that are named


@contextmanager
def build_progress() -> Iterator[Callable[[Progress], None]]:
    """Show a build's progress bar on a terminal, hidden until the first shard is committed."""
    columns = (
        TextColumn("build"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("shards, {task.fields[samples]} samples"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("build", total=None, samples=0, visible=False)

        def update(progress: Progress) -> None:
            bar.update(
                task,
                completed=progress.done,
                total=progress.total,
                samples=progress.samples,
                visible=progress.done < progress.total,
            )

        yield update


def print_plan(parts: Sequence[tuple[str, str, str]], notices: Sequence[str] = ()) -> None:
    """Print a dry run's plan: each part with its state, kind and settings; then its notices."""
    _print_table("plan", ("part", "state", "settings"), parts)
    for notice in notices:
        Console(soft_wrap=True).print(escape(notice))


def print_results(results: Mapping[str, Json]) -> None:
    """Print a run's counts and its benchmarks, each number with its confidence interval."""
    build = results.get("build", {})
    rows = [
        (split, *(str(counts.get(key, 0)) for key in ("in", "out", "dropped", "quarantined")))
        for split, counts in build.get("splits", {}).items()
    ]
    if rows:
        _print_table("data", ("split", "in", "out", "dropped", "quarantined"), rows)
    trained = [
        (name, *(_fact(facts.get(key)) for key in _TRAINED))
        for name, facts in results.get("train", {}).items()
    ]
    if trained:
        _print_table("models", ("model", *(key.replace("_", " ") for key in _TRAINED)), trained)
    for benchmark, by_editor in results.get("evaluation", {}).items():
        facts = results.get("benchmarks", {}).get(benchmark, {})
        if facts.get("protocol") is None:
            _print_scores(benchmark, by_editor, _SHOWN)
        else:
            _print_measured(benchmark, by_editor, facts["protocol"])
    for notice in (*_data_notices(results), *_notices(results)):
        Console().print(escape(notice))


def _fact(value: Json) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _print_scores(benchmark: str, by_editor: Mapping[str, Json], shown: Mapping[str, str]) -> None:
    rows = [(name, *(_cell(scores, key) for key in shown)) for name, scores in by_editor.items()]
    _print_table(benchmark, ("editor", *shown.values()), rows)


def _print_measured(benchmark: str, by_editor: Mapping[str, Json], card: Json) -> None:
    """Print a protocol's numbers, a few metrics per table, and why some are missing."""
    names = list(dict.fromkeys(name for scores in by_editor.values() for name in scores))
    computed = [
        name
        for name in names
        if any(scores.get(name, {}).get("mean") is not None for scores in by_editor.values())
    ]
    for start in range(0, len(computed), _COLUMNS):
        chosen = computed[start : start + _COLUMNS]
        _print_scores(benchmark, by_editor, {name: name for name in chosen})
    _print_absences(by_editor)
    if not card["whole"]:
        given, whole = (
            ", ".join(f"{count} {what}" for what, count in card[key].items() if count is not None)
            for key in ("given", "published")
        )
        Console().print(escape(f"not the whole published test: {given} of {whole}"))


def _data_notices(results: Mapping[str, Json]) -> list[str]:
    """Return what was cut, lost or left out of each training's data."""
    trained = results.get("train", {})
    return [f"{name}: {line}" for name, facts in trained.items() for line in notices(facts)]


def print_notices(facts: Mapping[str, Json]) -> None:
    """Print the warnings in some facts about data."""
    for notice in told_notices(facts, _NAMED):
        Console().print(escape(f"warning: {notice}"))


def _notices(results: Mapping[str, Json]) -> list[str]:
    """Return notices about data and editors, each once."""
    found: dict[str, None] = {}
    for facts in results.get("benchmarks", {}).values():
        found |= dict.fromkeys(f"warning: {told}" for told in told_notices(facts, _NAMED))
        for editor in facts["editors"]:
            if unlike := unlike_the_card(editor):
                found[f"{editor['name']} {unlike}"] = None
            told = told_notices(editor, _NAMED)
            found |= dict.fromkeys(f"{editor['name']}: {each}" for each in told)
    return list(found)


def _print_absences(by_editor: Mapping[str, Json]) -> None:
    """Print why numbers are missing, each reason once."""
    absent: dict[tuple[str, str | None], dict[str, list[str]]] = {}
    for editor, scores in by_editor.items():
        for name, score in scores.items():
            if score["mean"] is None:
                why = score["reason"], score["command"]
                absent.setdefault(why, {}).setdefault(editor, []).append(name)
    for (reason, command), missing in absent.items():
        names = dict.fromkeys(name for metrics in missing.values() for name in metrics)
        whose = "" if len(missing) == len(by_editor) else f" of {', '.join(missing)}"
        fix = f"; run `{command}`" if command else ""
        Console().print(escape(f"no {', '.join(names)}{whose}: {reason}{fix}"))


def _cell(scores: Mapping[str, Json], key: str) -> str:
    score = scores.get(key)
    if score is None or score.get("mean") is None:
        return "-"
    mean, low, high = (score[name] for name in ("mean", "low", "high"))
    # A mean over only some of the cases is marked with their count and share.
    cases = "1 case" if score["count"] == 1 else f"{score['count']} cases"
    part = "" if score["coverage"] == 1 else f"\n{cases}, {score['coverage']:.0%}"
    if key.endswith("_accuracy"):
        return f"{mean:.1%}\n{100 * low:.0f}-{100 * high:.0f}{part}"
    digits = 1 if max(abs(low), abs(high)) >= 10 else 4
    return f"{mean:.{digits}f}\n{low:.{digits}f}-{high:.{digits}f}{part}"


def print_contamination(results: Mapping[str, Json]) -> None:
    """Print how many samples were found in test sets, by test set and kind of match."""
    for name, found in results.get("contamination", {}).items():
        rows = [
            (listed, kind, str(counts["kept"]), str(counts["dropped"]))
            for listed, kinds in found["found"].items()
            for kind, counts in kinds.items()
        ]
        if not rows:
            Console().print("no sample was found in the test sets")
            continue
        heads = ("test set", "match", "kept", "dropped")
        title = f"found in test sets: {found['kept']} samples kept, {found['dropped']} dropped"
        _print_table(f"warning: {title}" if found["kept"] else title, heads, rows)
        Console().print(escape(f"ids: evaluation/{name}/contaminated.jsonl"), highlight=False)


def print_masks(counts: Mapping[str, int]) -> None:
    """Print the share of samples with a mask, and of masks that were read by transparency."""
    samples, masks, transparent = (counts[name] for name in ("samples", "masks", "transparent"))
    if masks:
        text = f"masks: {masks:,} of {samples:,} samples ({masks / samples:.1%})"
        if transparent:
            share = f"{transparent:,} of {masks:,} masks ({transparent / masks:.1%})"
            fix = "if the opaque part is the region, add --mask-rule opaque or --invert-mask"
            text += f"\nread as transparent = editable: {share}; {fix}"
        Console().print(text, highlight=False, soft_wrap=True)


def print_expected(expected: Any) -> None:
    """Print a judge's estimate: calls, tokens and cost."""
    Console().print(
        f"{expected.calls:,} calls to make, {expected.found:,} already answered\n"
        f"about {expected.input_tokens:,} input tokens, at most {expected.output_tokens:,} output "
        f"tokens, at most ${expected.cost:,.2f}"
    )


def print_asked(counts: Any) -> None:
    """Print a run's usage of model servers since it began, if there is any."""
    if counts.attempts:
        Console().print(
            f"{counts.calls:,} replies to {counts.attempts:,} requests since the run began: "
            f"{counts.input_tokens:,} input tokens, {counts.output_tokens:,} output tokens, "
            f"${counts.cost:,.2f}"
        )


def print_kinds(group: str) -> None:
    """Print the kinds of a group with their settings and defaults."""
    rows = []
    for kind in kinds(group):
        made = load(group, kind)
        settings = ", ".join(
            name
            if field.is_required()
            else f"{name}={field.get_default(call_default_factory=True)}"
            for name, field in settings_of(group, kind).model_fields.items()
        )
        rows.append((kind, (made.__doc__ or "").strip().splitlines()[0], settings))
    _print_table(f"{group} kinds", ("kind", "description", "settings"), rows)


def print_recipes(titles: Mapping[str, str]) -> None:
    """Print the shipped recipes by name, and how to run and copy one."""
    _print_table("recipes", ("recipe", "description"), list(titles.items()))
    Console().print(
        "run one: editloop run NAME; copy one: editloop recipes NAME > mine.yaml", highlight=False
    )


def print_protocols(cards: Sequence[Any]) -> None:
    """Print the protocols: name, version, title and source."""
    rows = [(f"{card.name} {card.version}", card.title, card.source) for card in cards]
    _print_table("protocols", ("protocol", "title", "source"), rows)


def print_protocol(card: Any) -> None:
    """Print everything that a protocol fixes, with its fingerprint."""
    from editloop.evaluation.protocol.sizes import sizes_of

    content = card.model_dump(mode="json", exclude_defaults=True, exclude={"about"})
    rows = [
        (key, value if isinstance(value, str) else _yaml(value)) for key, value in content.items()
    ]
    rows += [("edited pictures seen", _yaml(sizes_of(card))), ("fingerprint", card.fingerprint)]
    Console().print(escape(card.about))
    _print_table(card.name, ("", ""), rows)


def _yaml(value: Json) -> str:
    if not isinstance(value, Mapping | list):
        return str(value)
    return yaml.safe_dump(value, sort_keys=False, default_flow_style=None, width=60).strip()


def print_operations(operations: Sequence[Any]) -> None:
    """Print the darkroom's operations by edit type, each with an example instruction."""
    rows = [(item.edit_type.value, item.name, item.example) for item in operations]
    _print_table(f"{len(rows)} operations", ("edit type", "operation", "example"), rows)


def _print_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(
        title=escape(title), title_justify="left", header_style="bold", box=box.SIMPLE_HEAD
    )
    for head in heads:
        table.add_column(escape(head), overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)
