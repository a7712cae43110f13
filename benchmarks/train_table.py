"""Medians, ratios and the terminal table of the training benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from editloop.schema import Json
from train_flops import step_flops

__all__ = ["PEER", "cache_facts", "shown", "summary"]

PEER = "diffusers"  # the rows of the peer, by precision: "diffusers fp32"
_GIGA = 1e9
_GIB = 2**30
_HEADS = (
    "s/step",
    "from",
    "to",
    "CPU s",
    "GFLOP",
    "GFLOP/s",
    "pictures",
    "texts",
    "before",
    "GiB",
    "load",
)


def summary(
    runs: Sequence[dict[str, Json]], batch: int, flops: Mapping[str, int]
) -> dict[str, Json]:
    """Summarise one kind of run: median and range of all steps but each run's first, and counts.

    `processor` is the median of the seconds of all threads together. `before` is the time to the
    end of the last run's first step: imports, weights and, if it was missing, the latent cache.
    `pictures` and `texts` are the counts encoded in each step.
    """
    steps = [step for run in runs for step in run["steps"]]
    told = runs[-1]
    work = step_flops(flops, batch, told["pictures"], told["texts"])
    return {
        "step": median(steps),
        "steps": steps,
        "processor": median(each for run in runs for each in run["processor"]),
        "pictures": told["pictures"],
        "texts": told["texts"],
        "gflop": work / _GIGA,
        "gflop_per_second": work / _GIGA / median(steps),
        "before": told["before"],
        "peak": median(run["peak"] for run in runs),
        "load": max(run["load"] for run in runs),
        "finite": all(run["finite"] for run in runs),
    }


def cache_facts(
    built: Mapping[str, Json], step: float, peer: float | None, batch: int
) -> dict[str, Json]:
    """Return the cost of building a latent cache, and after how many epochs it has paid off."""
    seconds, samples = built["seconds"], built["samples"]
    facts = {**built, "samples_per_second": samples / seconds}
    facts["pictures_per_second"] = built["pictures"] / seconds
    if peer is not None:
        won = (peer - step) / batch  # seconds per sample and epoch
        facts["epochs"] = seconds / samples / won if won > 0 else None
    return facts


def shown(found: dict[str, Json]) -> str:
    """Return all measurements as text."""
    return "\n".join([*_setting(found), "", *_rows(found["rows"]), "", *_facts(found)])


def _setting(found: dict[str, Json]) -> Iterator[str]:
    told = found["machine"]
    yield f"{told['processor']} ({', '.join(told['features'])}), GPU: {told['gpu'] or 'none'}"
    yield f"{told['threads']} threads of {told['cores']} cores, torch {told['torch']}"
    if not (told["gpu"] or {"avx512_bf16", "amx_bf16"} & set(told["features"])):
        yield "bf16 is not in this processor's hardware: its rows say nothing"
    average = "with" if found["average"] else "without"
    yield (
        f"{found['size']} px, batch {found['batch']}, AdamW, {average} an average of the weights; "
        f"medians of {found['repeats']} x {found['steps'] - 1} steps"
    )
    each = {name: round(count / _GIGA, 1) for name, count in found["flops"].items()}
    yield f"GFLOP of a forward pass: {each}"


def _rows(rows: dict[str, Json]) -> Iterator[str]:
    yield f"{'':15}" + "".join(f"{head:>9}" for head in _HEADS)
    for name, row in rows.items():
        cells = [
            *(f"{each:.2f}" for each in (row["step"], min(row["steps"]), max(row["steps"]))),
            f"{row['processor']:.2f}",
            *(f"{row[key]:.0f}" for key in ("gflop", "gflop_per_second", "pictures", "texts")),
            f"{row['before']:.0f}",
            f"{row['peak'] / _GIB:.1f}",
            f"{row['load']:.1f}",
        ]
        yield f"{name:15}" + "".join(f"{cell:>9}" for cell in cells)


def _facts(found: dict[str, Json]) -> Iterator[str]:
    for name, ratio in found.get("ratios", {}).items():
        yield f"{name}: {ratio:.2f} times as fast"
    for precision, cache in found["caches"].items():
        paid = cache.get("epochs")
        yield (
            f"latent cache, {precision}: {cache['samples']} samples, {cache['pictures']} pictures "
            f"(mirror images too) in {cache['seconds']:.1f} s, "
            f"{cache['pictures_per_second']:.2f} pictures/s"
            + ("" if paid is None else f"; pays after {paid:.1f} epochs")
        )
    loss = found["loss"]
    yield (
        f"loss of {loss['samples']} samples: ours {loss['ours']:.6f}, the script's formula "
        f"{loss['script']:.6f}, difference {loss['difference']:.1e}"
        + (" TOO MUCH" if loss["difference"] > found["limit"] else "")
        + f" (with other pictures {loss['with_other_pictures']:.1e})"
    )
    if not all(row["finite"] for row in found["rows"].values()):
        yield "NOT FINITE: a training ended with weights that are no numbers"
