"""Run the shipped recipe `reward-ablation` for two seeds by two splits, and pool the results.

    python benchmarks/reward_ablation.py --runs runs/reward-ablation --out docs/reward-ablation

Each replicate is an ordinary, resumable run. The pooled means are over the cases of all replicates;
their intervals are paired bootstraps over cases, conditional on the trained models and the held-out
photos. The differences of each replicate are beside them: they show how much training itself
varies.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from editloop.evaluation.answers.case_table import CASES_FILE, values_of
from editloop.loop import run as loop
from editloop.loop.recipe import read_recipe
from editloop.runtime.seeding import generator
from editloop.schema import Json
from editloop.statistics.bootstrap import Resamples
from editloop.statistics.means import Numbers, Paired, summarise

RECIPE = "reward-ablation"
BENCHMARK = "darkroom/single-turn"
REPLICATES = (("a", 0), ("a", 1), ("b", 0), ("b", 1))  # split, seed: crossed
SPLITS = {"a": "[chelsea, china, coffee]", "b": "[astronaut, flower, motorcycle]"}
METRICS = (
    "following_accuracy",
    "preserving_accuracy",
    "quality_accuracy",
    "all_accuracy",
    "following_score",
    "preserving_score",
    "quality_score",
    "preserving_score_given_following",
    "quality_score_given_following",
    "l1",
)
RESAMPLES = 1000
TABLES = {
    "Scores and texts (Table 4)": ("copy", "plain", "score", "text", "both", "clean"),
    "Ways of injection (Table 5)": ("plain", "both", "attention", "addition", "attention-addition"),
    "Scores asked for (Table 6)": ("score", "score-333", "score-000", "score-none"),
    "One score lowered alone": ("score", "score-055", "score-505", "score-550"),
}
# First minus second: the claims of each table of the paper, and our controls.
COMPARED = (
    ("score", "plain"),
    ("text", "plain"),
    ("both", "plain"),
    ("both", "score"),
    ("attention", "plain"),
    ("addition", "plain"),
    ("attention-addition", "plain"),
    ("score", "score-none"),
    ("score", "score-333"),
    ("score-333", "score-000"),
    ("score", "score-055"),
    ("score", "score-505"),
    ("score", "score-550"),
    ("clean", "score"),
)


def replicate(runs: Path, split: str, seed: int) -> Path:
    """Run one replicate, or resume it; return its folder."""
    out = runs / f"{split}-{seed}"
    overrides = [f"seed={seed}", f"sources.photos.heldout_scenes={SPLITS[split]}"]
    loop.run(read_recipe(RECIPE, overrides), out)
    return out


def numbers_of(folders: list[Path]) -> Numbers:
    """Return the numbers of several replicates, with one row per case of each replicate."""
    tables = [pq.read_table(folder / "evaluation" / "darkroom" / CASES_FILE) for folder in folders]
    editors = tuple(dict.fromkeys(tables[0]["editor"].to_pylist()))
    values = [
        np.concatenate([values_of(_cases(table, editor), METRICS) for table in tables])
        for editor in editors
    ]
    stacked = np.stack(values)
    return Numbers(editors, METRICS, stacked, ~np.isnan(stacked[:, :, METRICS.index("l1")]))


def _cases(table: pa.Table, editor: str) -> pa.Table:
    chosen = pc.and_(pc.equal(table["editor"], editor), pc.equal(table["benchmark"], BENCHMARK))
    return table.filter(chosen)


def summary_of(numbers: Numbers) -> dict[str, Json]:
    """Return means with intervals, and paired differences in every metric."""
    cases = [str(index) for index in range(numbers.values.shape[1])]
    resamples = Resamples(cases, RESAMPLES, generator("reward-ablation"))
    paired = Paired(numbers, resamples)
    return {
        "cases": len(cases),
        "editors": summarise(numbers, resamples),
        "differences": {
            f"{first} - {second}": {
                metric: paired.compare(first, second, metric) for metric in METRICS
            }
            for first, second in COMPARED
        },
    }


def table_of(pooled: dict[str, Json], names: tuple[str, ...]) -> str:
    """Return a Markdown table of editors and their main metrics."""
    shown = ("following_accuracy", "preserving_accuracy", "quality_accuracy", "all_accuracy", "l1")
    heads = ["model and request", "following %", "preserving %", "quality %", "all %", "L1"]
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join(['---'] * len(heads))} |"]
    for name in names:
        cells = [_cell(pooled["editors"][name][metric], metric) for metric in shown]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def differences_of(pooled: Json, replicates: dict[str, Json]) -> str:
    """Return a Markdown table of paired differences in following, pooled and by replicate."""
    lines = [
        f"| first - second | pooled, points | {' | '.join(replicates)} |",
        f"| {' | '.join(['---'] * (2 + len(replicates)))} |",
    ]
    for pair in pooled["differences"]:
        found = [each["differences"][pair]["following_accuracy"] for each in replicates.values()]
        whole = pooled["differences"][pair]["following_accuracy"]
        interval = f"[{100 * whole['low']:+.0f}, {100 * whole['high']:+.0f}]"
        cells = [f"{100 * each['difference']:+.0f}" for each in found]
        lines.append(
            f"| {pair} | {100 * whole['difference']:+.0f} {interval} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def _cell(score: Json, metric: str) -> str:
    if score["mean"] is None:
        return "-"
    if metric == "l1":
        return f"{score['mean']:.4f} [{score['low']:.4f}, {score['high']:.4f}]"
    return f"{100 * score['mean']:.0f} [{100 * score['low']:.0f}, {100 * score['high']:.0f}]"


def main() -> None:
    """Run every replicate, pool them, write JSON and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/reward-ablation"))
    parser.add_argument("--out", type=Path, default=Path("docs/reward-ablation"))
    options = parser.parse_args()
    folders = {
        f"{split}-{seed}": replicate(options.runs, split, seed) for split, seed in REPLICATES
    }
    pooled = summary_of(numbers_of(list(folders.values())))
    each = {name: summary_of(numbers_of([folder])) for name, folder in folders.items()}
    options.out.mkdir(parents=True, exist_ok=True)
    content = {"splits": SPLITS, "pooled": pooled, "replicates": each}
    text = json.dumps(content, indent=1, sort_keys=True)
    (options.out / "results.json").write_text(text + "\n", encoding="utf-8")
    parts = [f"### {title}\n\n{table_of(pooled, names)}\n" for title, names in TABLES.items()]
    parts.append(f"### Paired differences in following\n\n{differences_of(pooled, each)}\n")
    (options.out / "tables.md").write_text("\n".join(parts), encoding="utf-8")
    print("\n".join(parts))


if __name__ == "__main__":
    main()
