"""The quality table of a data set: `editloop measure` as one call.

Follows UltraEdit's report of its data (arXiv:2407.05282, supplement, Table 6): how well captions
fit their pictures (CLIP in and out), how well the change of the picture follows the change of the
caption (CLIP direction), and how much of the picture is kept (CLIP image, SSIM, DINOv2), by kind
of edit. A judge adds HQ-Edit's Alignment and Coherence (arXiv:2404.09990, Table 3).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from editloop.hub import weights
from editloop.images.masks import MaskReading, mask_reading
from editloop.judges.specs import settled
from editloop.kernel.chunks import ChunkRunner
from editloop.metrics.metric_set import metrics_of
from editloop.quality.chunks import DataChunk, read_data_chunks
from editloop.quality.judged import DataJudge
from editloop.quality.measures import DataMeasures
from editloop.quality.page import write_quality_page
from editloop.quality.rows import writing_rows
from editloop.quality.summary import DataSummary
from editloop.registry import parse_spec
from editloop.runtime.launcher import led
from editloop.schema import Json, readable_json
from editloop.sources.layouts import layout_of, open_index
from editloop.sources.notices import listed
from editloop.sources.reading import IndexedLayout
from editloop.sources.sampled import SampledIndex
from editloop.storage.files import Files, explained, replace_file, sweep_temporaries
from editloop.storage.locks import lock
from editloop.storage.manifests import find_manifest, record_manifest, withdraw
from editloop.storage.records import fingerprint
from editloop.storage.shards import ShardStore

__all__ = ["DATA_METRICS", "measure_data"]

_CLIP = "model=openai/clip-vit-large-patch14&crop=none&long_texts=cut"
_DINOV2 = "model=facebook/dinov2-with-registers-large&crop=nearest"

# The models and preprocessing of UltraEdit's release.
DATA_METRICS = (
    f"clip_in=clip:text_source?{_CLIP}",
    f"clip_out=clip:text?{_CLIP}",
    f"clip_direction=clip:direction?{_CLIP}",
    f"clip_image=clip:image?against=source&{_CLIP}",
    "ssim7=pixels:ssim7?against=source",
    f"dinov2_ultraedit=dinov2?against=source&{_DINOV2}",
)

_RUBRICS = ("alignment", "coherence")  # HQ-Edit's

_VERSION = "4"
_NAME = "quality"
_RESULTS, _ROWS, _PAGE = "quality.json", "quality.parquet", "quality.html"


@led
def measure_data(
    folder: Path | str,
    *,
    layout: str | None = None,
    metrics: Sequence[str] | None = None,
    judge: str | None = None,
    sample: int | None = None,
    mask_rule: str | None = None,
    invert_mask: bool = False,
    out: Path | str | None = None,
    seed: int = 0,
    resamples: int = 1000,
    download: bool = False,
    workers: int | None = None,
    engine: str = "processes",
) -> dict[str, Json]:
    """Measure the edits of the data set in a folder, or resume; return `quality.json`'s content.

    `layout` is KIND[?key=value] of `sources.layouts` (detected from the folder's files, if None)
    and `metrics` are SPECs (default: `DATA_METRICS`). `judge` is the SPEC of a judge whose scores
    are measured too: a model judge's are Alignment and Coherence, unless it names other rubrics.
    `sample` takes a random sample of that many edits, of whole sessions but the last. `mask_rule`
    and `invert_mask` say where masks allow editing. Results are kept in `out` (default:
    runs/quality-NAME); a second call measures nothing. `download` gets the weights that the metrics
    load; otherwise only the judge uses the network. `workers` (one per core by default) of the
    `engine`, a SPEC, check and measure the data; neither changes a result. Edits with a fault are
    skipped; `skipped` counts and names the faults. RecipeError if none can be measured, or the data
    set cannot be read.
    """
    specs = DATA_METRICS if metrics is None else tuple(metrics)
    if download:
        for name in _weights(specs):
            weights.download(name)
    source = Path(folder).expanduser()
    name = source.resolve().name
    reading = mask_reading(mask_rule, invert=invert_mask)
    data = _opened(source, layout or layout_of(source), reading, sample, seed)
    place = Path("runs", f"quality-{name}") if out is None else Path(out)
    runner = ChunkRunner(workers, engine)
    place.mkdir(parents=True, exist_ok=True)
    with lock(place):
        work = place / ".editloop" / _NAME
        store = ShardStore(work)
        with _judging(judge, store, work / "ledger.sqlite") as judged:
            measures = DataMeasures(specs, store, work / "embeddings", judged)
            asked = _QualityRequest(name, data, measures, seed, resamples, reading)
            found = find_manifest(place, _NAME)
            if found is None or found.fingerprint != asked.made_from or not found.in_place(place):
                with runner:
                    data.problems(partial(runner.map, store))
                    _make(asked, place, runner)
    results: dict[str, Json] = json.loads((place / _RESULTS).read_bytes())
    return results


@dataclass(frozen=True, slots=True)
class _QualityRequest:
    """The inputs that determine the results."""

    name: str
    data: IndexedLayout
    measures: DataMeasures
    seed: int
    resamples: int
    reading: MaskReading

    @property
    def made_from(self) -> str:
        """The fingerprint of the request and of the data's files."""
        return fingerprint(
            {
                "version": _VERSION,
                "name": self.name,
                "layout": [self.data.name, self.data.version, self.data.digest()],
                "metrics": self.measures.parameters,
                "missing": sorted(self.measures.missing),
                "masks": [self.reading.rule, self.reading.invert],
                "bootstrap": [self.seed, self.resamples],
            }
        )


def _make(asked: _QualityRequest, place: Path, runner: ChunkRunner) -> None:
    withdraw(place, _NAME)
    with explained("tidy up a folder", place):
        sweep_temporaries(Files(), place)
    results = _measured(asked, place / _ROWS, runner)
    with explained("write a data set's quality", place / _RESULTS):
        replace_file(Files(), place / _RESULTS, readable_json(results))
    write_quality_page(results, place / _PAGE)
    files = [place / name for name in (_RESULTS, _ROWS, _PAGE)]
    record_manifest(place, _NAME, files, made_from=asked.made_from)


def _measured(asked: _QualityRequest, rows: Path, runner: ChunkRunner) -> dict[str, Json]:
    measures = asked.measures
    summary = DataSummary(measures.names, asked.seed, asked.resamples)
    chunks = _watched(read_data_chunks(asked.data.sound_sessions()))
    with writing_rows(rows, measures.names, measures.missing) as writer:
        for chunk, numbers in measures.measure(chunks, runner):
            writer.add(chunk, numbers)
            summary.add(chunk, numbers)
    found = summary.results(measures.missing)
    return {
        "data": asked.name,
        "layout": {"name": asked.data.name, "version": asked.data.version},
        "metrics": measures.parameters,
        "fingerprint": fingerprint([_VERSION, found["content"], measures.parameters]),
        "seed": asked.seed,
        "resamples": asked.resamples,
        "skipped": listed([str(each) for each in asked.data.problems()]),
        "near_shapes": listed(asked.data.near_shapes()),
        **found,
    }


def _weights(specs: Sequence[str]) -> list[str]:
    """Return the names of the weights that the metrics load."""
    owned = (getattr(each.metric, "weights", ()) for each in metrics_of(specs).values())
    return sorted({name for names in owned for name in names})


def _opened(
    folder: Path, layout: str, reading: MaskReading, sample: int | None, seed: int
) -> IndexedLayout:
    spec = parse_spec(layout, "layout")
    index = open_index(spec.kind, folder, **spec.settings)
    sampled = index if sample is None else SampledIndex(index, sample, seed)
    return IndexedLayout(sampled, reading)


@contextmanager
def _judging(judge: str | None, store: ShardStore, ledger: Path) -> Iterator[DataJudge | None]:
    """Create the judge of a SPEC, and close it afterwards."""
    if judge is None:
        yield None
        return
    defaults = {"rubrics": list(_RUBRICS), "ledger": str(ledger)}
    made = settled(parse_spec(judge, "judge"), defaults).create("judge")
    try:
        yield DataJudge(made, store)
    finally:
        if hasattr(made, "close"):
            made.close()


def _watched(chunks: Iterable[DataChunk]) -> Iterator[DataChunk]:
    """Yield the chunks, with a count of their samples on a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("measuring"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} samples"),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("measuring", total=None)
        for chunk in chunks:
            yield chunk
            progress.advance(task, len(chunk.samples))
