"""Medians and terminal tables of the evaluation benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from editloop.schema import Json

__all__ = ["shown", "summary"]

_MIB = 2**20
_TIMES = ("seconds", "load", "page", "steady")  # medians
_HEADS = (*_TIMES, "pairs/s", "opens", "decodes", "images", "texts", "MiB")


def summary(runs: Sequence[dict[str, Json]], pairs: int) -> dict[str, Json]:
    """Summarise one kind of run: medians of seconds and memory, range of the seconds, counts.

    `load` is the time of imports and weights, `page` that of the report, which only ours has, and
    `steady` the rest. Counts are the same in every run.
    """
    steady = [run["steady"] for run in runs]
    return {
        **runs[0],
        **{key: median(run[key] for run in runs) for key in (*_TIMES, "peak")},
        "steady_range": [min(steady), max(steady)],
        "pairs_per_second": pairs / median(steady),
    }


def shown(found: dict[str, Json]) -> str:
    """Return all measurements as text."""
    return "\n".join(
        [*_setting(found), "", *_rows(found["rows"]), "", *_facts(found), "", *_differences(found)]
    )


def _setting(found: dict[str, Json]) -> Iterator[str]:
    told = found["machine"]
    yield f"{told['processor']} ({', '.join(told['features'])}), GPU: {told['gpu'] or 'none'}"
    before, after = told["load_average"]
    yield f"{told['threads']} threads of {told['cores']} cores, torch {told['torch']}"
    yield f"load average {before:.1f} when it began, {after:.1f} when it ended"
    if not (told["gpu"] or {"avx512_bf16", "amx_bf16"} & set(told["features"])):
        yield "bf16 is not in this processor's hardware: its row says nothing"
    yield (
        f"{found['sessions']} sessions, {found['pairs']} pairs of {found['size']} px; "
        f"medians of {found['repeats']}"
    )


def _rows(rows: dict[str, Json]) -> Iterator[str]:
    yield f"{'':9}" + "".join(f"{head:>9}" for head in _HEADS)
    for name, row in rows.items():
        cells = [
            *(f"{row[key]:.1f}" for key in (*_TIMES, "pairs_per_second")),
            *(row[key] for key in ("opens", "decodes", "images_encoded", "texts_encoded")),
            round(row["peak"] / _MIB),
        ]
        yield f"{name:9}" + "".join(f"{cell:>9}" for cell in cells)
    for name in rows:
        if "released" in rows and name != "released":
            steady, whole = (rows["released"][k] / rows[name][k] for k in ("steady", "seconds"))
            yield f"{name}: {steady:.2f} times as fast as released; {whole:.2f} with load and page"


def _facts(found: dict[str, Json]) -> Iterator[str]:
    if "released" in found["rows"]:
        yield f"released ran over stand-ins of {', '.join(found['rows']['released']['standins'])}"
    again = found["again"]
    yield (
        f"again: {again['encodes']} encodes, {again['edits']} edits, {again['decodes']} decodes, "
        f"{again['seconds']:.1f} s, results {'equal' if again['same_bytes'] else 'DIFFER'}"
    )
    for row in found["growth"]:
        yield (
            f"{row['sessions']} sessions: {1000 * row['steady_per_pair']:.0f} ms a pair, "
            f"at most {row['peak'] / _MIB:.0f} MiB"
        )


def _differences(found: dict[str, Json]) -> Iterator[str]:
    for precision, encoders in found["embeddings"].items():
        told = ", ".join(f"{name} {value:.1e}" for name, value in encoders.items())
        yield f"embeddings {precision}, relative difference at most: {told}"
    for precision, benchmarks in found.get("differences", {}).items():
        for benchmark, metrics in benchmarks.items():
            told = ", ".join(
                f"{name} {value['difference']:.1e}"
                + (" TOO MUCH" if value["difference"] > found["limits"][precision][name] else "")
                for name, value in metrics.items()
            )
            yield f"{benchmark} {precision}, differences from released: {told}"
