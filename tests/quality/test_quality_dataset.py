"""A data set's own quality: what is measured, paid for once, and said of what is missing."""

import json
import tracemalloc
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from editloop.errors import RecipeError, UnavailableError
from editloop.images.codec import decode, encode_png
from editloop.metrics.embeddings import Embeddings
from editloop.metrics.metric_set import choose
from editloop.quality.chunks import read_data_chunks
from editloop.quality.dataset import DATA_METRICS, measure_data
from editloop.quality.pairs import measure_samples
from editloop.quality.table import print_quality
from editloop.runtime.seeding import generator
from editloop.schema import EditedPair, EditSample, Image, Json, Score
from editloop.settings import Settings as BaseSettings
from editloop.statistics.running_means import RunningMeans
from editloop.storage.samples import arrow_schema, to_row
from editloop.storage.verify import verify
from evaluation_fakes import sessions, single_edits
from evaluation_pages import Elements
from layout_folders import HEIGHT, WIDTH, metadata, picture, put

L1 = "l1=pixels:l1?against=source"
SSIM = "ssim=pixels:ssim?against=source"
CHANGE = "change=python:test_quality_dataset:Change"
ABSENT = "far=python:test_quality_dataset:Absent"


class Change:
    """The mean difference of target and source in grey levels; counts what it is asked."""

    measured: ClassVar[list[str]] = []
    breaks_after: ClassVar[int | None] = None

    class Settings(BaseSettings):
        pass

    name = "change"
    version = "1"
    needs = frozenset({"source", "edited"})

    def __init__(self, settings: "Change.Settings") -> None:
        pass

    def measure(self, batch: Sequence[EditedPair]) -> list[Score]:
        if Change.breaks_after is not None and len(Change.measured) >= Change.breaks_after:
            raise KeyboardInterrupt
        Change.measured += [pair.id for pair in batch]
        return [Score(float(np.mean(pair.edited - pair.source.astype(float)))) for pair in batch]


class Absent(Change):
    """Its weights are not here."""

    name = "far"

    def missing(self) -> UnavailableError:
        return UnavailableError("these weights are not here", command="get them")


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    Change.measured.clear()
    Change.breaks_after = None


def write_data(folder: Path, samples: Iterable[EditSample], **columns: Sequence[Json]) -> Path:
    """A data set of layout `metadata`; equal pictures share a file."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    lines = []
    for at, sample in enumerate(samples):
        row: dict[str, Json] = {"id": sample.id, "instruction": sample.instruction}
        for name in ("source", "target", "mask"):
            image = getattr(sample, name)
            if image is not None:
                path = folder / "pictures" / f"{abs(hash(image.bytes))}.png"
                path.write_bytes(image.bytes)
                row[name] = f"pictures/{path.name}"
        for name in ("source_caption", "target_caption", "session", "turn"):
            row[name] = getattr(sample, name)
        row |= {name: values[at] for name, values in columns.items()}
        lines.append(json.dumps({key: value for key, value in row.items() if value is not None}))
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def tasks(count: int) -> list[str]:
    return [("add", "change_color")[at % 2] for at in range(count)]


def directly(samples: Sequence[EditSample]) -> np.ndarray:
    """The L1 of source and target of each sample."""
    return np.array(
        [
            np.abs(decode(s.source.bytes).astype(float) - decode(s.target.bytes)).mean() / 255
            for s in samples
        ]
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data", single_edits(20), task=tasks(20))


def test_means_are_those_of_a_direct_computation(data: Path, tmp_path: Path) -> None:
    found = measure_data(data, metrics=[L1], out=tmp_path / "out")
    expected = directly(list(single_edits(20)))
    assert found["quality"]["l1"]["mean"] == pytest.approx(expected.mean(), abs=1e-6)
    labels = found["slices"]["label"]
    assert labels["add"]["l1"]["mean"] == pytest.approx(expected[::2].mean(), abs=1e-6)
    assert labels["change_color"]["l1"]["mean"] == pytest.approx(expected[1::2].mean(), abs=1e-6)
    assert found["slices"]["type"]["add"] == labels["add"]
    assert found["counts"] == {"type": {"add": 10}, "label": {"add": 10, "change_color": 10}}


def test_kinds_that_only_repeat_the_types_are_not_told_twice(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", single_edits(4), task=["add", "remove"] * 2)
    found = measure_data(data, metrics=[L1], out=tmp_path / "out")
    assert list(found["slices"]) == ["type"]


def test_labels_without_number_are_no_kinds_of_edit(tmp_path: Path) -> None:
    labels = [f"label {at}" for at in range(60)]
    data = write_data(tmp_path / "data", single_edits(60), task=labels)
    found = measure_data(data, metrics=[L1], out=tmp_path / "out")
    assert found["slices"] == {}


def test_clip_says_how_captions_fit(tmp_path: Path) -> None:
    import torch
    from transformers import CLIPModel, CLIPTokenizer

    from tiny_encoders import save_clip

    clip = save_clip(tmp_path / "clip")
    samples = [
        replace(each, source_caption=f"a dark photo {at}", target_caption=f"light {at} and warm")
        for at, each in enumerate(single_edits(3))
    ]
    specs = [f"{spec.partition('?')[0]}?model={clip}" for spec in DATA_METRICS[:3]]
    specs.append(f"{DATA_METRICS[3].partition('&')[0]}&model={clip}")
    found = measure_data(
        write_data(tmp_path / "data", samples), metrics=specs, out=tmp_path / "out"
    )["quality"]

    model = CLIPModel.from_pretrained(clip).eval()
    tokens = CLIPTokenizer.from_pretrained(clip)
    mean, std = (
        torch.tensor(each)[:, None, None]
        for each in ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
    )

    def image(data: bytes) -> torch.Tensor:  # 32 px: no resize and no crop
        pixels = torch.tensor(decode(data) / 255.0, dtype=torch.float32).permute(2, 0, 1)
        return unit(model.get_image_features(((pixels - mean) / std)[None]).pooler_output[0])

    def text(caption: str) -> torch.Tensor:
        ids = tokens(caption, padding="max_length", max_length=77, return_tensors="pt")
        return unit(model.get_text_features(**ids).pooler_output[0])

    def unit(vector: torch.Tensor) -> torch.Tensor:
        return vector.double() / vector.double().norm()

    with torch.inference_mode():
        values = []
        for each in samples:
            before, after = image(each.source.bytes), image(each.target.bytes)
            said_before, said_after = text(each.source_caption), text(each.target_caption)
            change = unit(after - before) @ unit(said_after - said_before)
            values.append([before @ said_before, after @ said_after, change, before @ after])
    names = ("clip_in", "clip_out", "clip_direction", "clip_image")
    means = [found[name]["mean"] for name in names]
    assert means == pytest.approx(np.array(values).mean(axis=0), abs=1e-6)


def test_a_second_run_measures_nothing_and_leaves_the_same_bytes(
    data: Path, tmp_path: Path
) -> None:
    first = measure_data(data, metrics=[CHANGE], out=tmp_path / "out")
    names = ("quality.json", "quality.parquet", "quality.html")
    before = [(tmp_path / "out" / name).read_bytes() for name in names]
    Change.measured.clear()
    assert measure_data(data, metrics=[CHANGE], out=tmp_path / "out") == first
    assert Change.measured == []
    assert [(tmp_path / "out" / name).read_bytes() for name in names] == before
    assert verify(tmp_path / "out") == []


def test_the_content_counts_and_not_the_files_times(data: Path, tmp_path: Path) -> None:
    first = measure_data(data, metrics=[CHANGE], out=tmp_path / "out")
    Change.measured.clear()
    for path in (data / "pictures").iterdir():
        path.touch()
    assert measure_data(data, metrics=[CHANGE], out=tmp_path / "out") == first
    assert Change.measured == []


def test_another_seed_measures_nothing_but_draws_again(data: Path, tmp_path: Path) -> None:
    first, second = (
        measure_data(data, metrics=[CHANGE], out=tmp_path / "out", seed=seed)["quality"]["change"]
        for seed in (1, 2)
    )
    assert len(Change.measured) == 20
    assert first["mean"] == second["mean"]
    assert first["low"] != second["low"]


@pytest.mark.slow
def test_a_further_metric_is_measured_alone(data: Path, tmp_path: Path) -> None:
    measure_data(data, metrics=[CHANGE], out=tmp_path / "out")
    found = measure_data(data, metrics=[CHANGE, SSIM], out=tmp_path / "out")
    assert [metric["name"] for metric in found["metrics"]] == ["change", "ssim"]
    assert len(Change.measured) == 20


@pytest.mark.slow
def test_other_settings_of_a_metric_are_another_metric(data: Path, tmp_path: Path) -> None:
    against_source, against_itself = (
        measure_data(data, metrics=[f"l1=pixels:l1?against={what}"], out=tmp_path / "out")
        for what in ("source", "target")
    )
    assert against_source["quality"]["l1"]["mean"] > 0.01
    assert against_itself["quality"]["l1"]["mean"] == 0
    assert against_source["fingerprint"] != against_itself["fingerprint"]


@pytest.mark.slow
def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", many(600))
    Change.breaks_after = 300
    with pytest.raises(KeyboardInterrupt):
        measure_data(data, metrics=[CHANGE], out=tmp_path / "out", workers=1)
    assert not (tmp_path / "out" / "quality.json").exists()
    done, Change.breaks_after = len(Change.measured), None
    Change.measured.clear()
    resumed = measure_data(data, metrics=[CHANGE], out=tmp_path / "out", workers=1)
    assert len(Change.measured) == 600 - 256
    assert done >= 300
    assert resumed == measure_data(data, metrics=[CHANGE], out=tmp_path / "whole")
    assert not list((tmp_path / "out").glob(".tmp-*"))


def many(count: int) -> Iterable[EditSample]:
    """Edits of one pair of pictures, told apart by their captions."""
    (first,) = single_edits(1)
    for at in range(count):
        yield replace(first, id=f"{at:06d}", mask=None, target_caption=f"light {at}")


def test_absent_weights_say_so_and_the_rest_is_measured(data: Path, tmp_path: Path) -> None:
    found = measure_data(data, metrics=[ABSENT, L1], out=tmp_path / "out")
    missing = {"mean": None, "reason": "these weights are not here", "command": "get them"}
    assert found["quality"]["far"] == found["slices"]["type"]["add"]["far"] == missing
    assert found["quality"]["l1"]["count"] == 20
    rows = pq.read_table(tmp_path / "out" / "quality.parquet").to_pylist()
    assert {row["far"] for row in rows} == {None}
    assert rows[0]["unscored"] == [{"metric": "far", "reason": "these weights are not here"}]


def test_the_default_metrics_without_weights_leave_the_pixels(data: Path, tmp_path: Path) -> None:
    found = measure_data(data, out=tmp_path / "out")["quality"]
    assert {name for name, entry in found.items() if entry["mean"] is not None} == {"ssim7"}
    assert found["clip_direction"]["command"] == "hf download openai/clip-vit-large-patch14"


def test_a_sample_without_a_target_has_no_number_and_never_a_zero(tmp_path: Path) -> None:
    samples = [
        replace(each, target=None) if at < 2 else each for at, each in enumerate(single_edits(8))
    ]
    found = measure_data(write_data(tmp_path / "data", samples), metrics=[L1], out=tmp_path / "out")
    expected = directly(samples[2:]).mean()
    assert found["quality"]["l1"]["mean"] == pytest.approx(expected, abs=1e-6)
    assert found["quality"]["l1"]["count"] == 6
    assert found["quality"]["l1"]["coverage"] == 0.75
    rows = pq.read_table(tmp_path / "out" / "quality.parquet").to_pylist()
    assert rows[0]["unscored"] == [{"metric": "l1", "reason": "the sample has no target"}]
    assert rows[2]["unscored"] == []


def test_what_looks_at_the_source_alone_needs_no_target() -> None:
    (sample,) = single_edits(1)
    metrics = {"light": choose("python:test_quality_dataset:OfSource")}
    (found,) = measure_samples([replace(sample, target=None)], metrics, Embeddings())
    assert found == {"light": Score(float(decode(sample.source.bytes).mean()))}


class OfSource(Change):
    """The mean grey level of the source."""

    name = "light"
    needs = frozenset({"source"})

    def measure(self, batch: Sequence[EditedPair]) -> list[Score]:
        return [Score(float(pair.source.mean())) for pair in batch]


def test_a_picture_that_cannot_be_decoded_is_unscored() -> None:
    first, second = single_edits(2)
    metrics = {"change": choose("python:test_quality_dataset:Change")}
    broken = replace(first, target=Image(b"no picture"))
    found = list(measure_samples([broken, second], metrics, Embeddings()))
    assert "a picture cannot be read" in found[0]["change"].reason
    assert isinstance(found[1]["change"], Score)


def test_every_sample_has_a_row(data: Path, tmp_path: Path) -> None:
    measure_data(data, metrics=[L1], out=tmp_path / "out")
    table = pq.read_table(tmp_path / "out" / "quality.parquet")
    samples = list(single_edits(20))
    assert table["id"].to_pylist() == [sample.id for sample in samples]
    assert table["label"].to_pylist() == tasks(20)
    np.testing.assert_allclose(table["l1"].to_numpy(), directly(samples), atol=1e-6)


@pytest.mark.slow
def test_faulty_edits_are_skipped_and_counted(data: Path, tmp_path: Path) -> None:
    whole = measure_data(data, metrics=[CHANGE], out=tmp_path / "whole")
    assert whole["skipped"] is None
    next((data / "pictures").iterdir()).write_bytes(b"broken")
    found = measure_data(data, metrics=[CHANGE], out=tmp_path / "out")
    assert found["samples"] < whole["samples"]
    assert found["skipped"]["count"] >= 1
    assert "the picture cannot be read" in found["skipped"]["first"][0]


def test_problems_of_the_whole_set_are_listed_before_anything_is_measured(
    data: Path, tmp_path: Path
) -> None:
    for path in (data / "pictures").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(RecipeError, match="problem"):
        measure_data(data, metrics=[CHANGE], out=tmp_path / "out")
    assert Change.measured == []


def test_the_layout_is_told_by_the_files(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([to_row(each) for each in sessions(2)], schema=arrow_schema())
    published = tmp_path / "published" / "data"
    published.mkdir(parents=True)
    pq.write_table(table, published / "train-00000-of-00001.parquet")
    found = measure_data(tmp_path / "published", metrics=[L1], out=tmp_path / "out")
    assert found["layout"]["name"] == "published"
    assert (found["samples"], found["sessions"]) == (6, 2)
    assert set(found["slices"]["type"]) == {"local", "global", "style"}


def test_pairs_whose_captions_are_called_input_and_output_are_hq_edits(tmp_path: Path) -> None:
    def row(sample: EditSample) -> Json:
        return {
            "input": "a dark photo",
            "input_image": {"bytes": sample.source.bytes, "path": None},
            "output": "a light photo",
            "output_image": {"bytes": sample.target.bytes, "path": None},
            "edit": sample.instruction,
        }

    table = pa.Table.from_pylist([row(each) for each in single_edits(2)])
    pq.write_table(table, tmp_path / "train-00000-of-00001.parquet")
    found = measure_data(tmp_path, metrics=[L1], out=tmp_path / "out")
    assert found["layout"]["name"] == "hq-edit"


def test_a_layout_that_cannot_be_told_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot tell the layout"):
        measure_data(tmp_path, out=tmp_path / "out")
    with pytest.raises(RecipeError, match="unknown layout"):
        measure_data(tmp_path, layout="magicbrsh", out=tmp_path / "out")


def test_a_layout_takes_options(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([to_row(each) for each in single_edits(3)], schema=arrow_schema())
    for split in ("train", "heldout"):
        rows = table if split == "train" else table.slice(2)
        pq.write_table(rows, tmp_path / f"{split}-00000-of-00001.parquet")
    found = measure_data(
        tmp_path, layout="published?split=heldout", metrics=[L1], out=tmp_path / "out"
    )
    assert found["samples"] == 1


def test_weights_are_got_when_that_is_asked(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[str] = []
    monkeypatch.setattr("editloop.hub.weights.download", got.append)
    specs = ["clip:text", "clip:image", "dinov2?against=source"]
    measure_data(data, metrics=specs, out=tmp_path / "out")
    assert got == []
    measure_data(data, metrics=specs, out=tmp_path / "out", download=True)
    assert got == ["facebook/dinov2-base", "openai/clip-vit-base-patch32"]


def test_two_metrics_of_one_name_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="two metrics have the same name"):
        measure_data(data, metrics=["pixels:l1", "pixels:l1?against=source"], out=tmp_path / "out")


def test_chunks_hold_whole_sessions() -> None:
    groups = [[each] for each in single_edits(3)] + [list(sessions(1, turns=300))]
    assert [len(chunk.samples) for chunk in read_data_chunks(groups)] == [3, 300]


def test_intervals_are_a_bootstraps() -> None:
    values = generator("values").normal(0.5, 0.1, size=(400, 1))
    means = RunningMeans(["x"], 2000)
    for at in range(4):
        rows = slice(100 * at, 100 * at + 100)
        everything = {"all": np.arange(100)}
        means.add(values[rows], range(400)[rows], everything, generator("draws", at))
    found = means.summary("all")["x"]
    error = values.std() / np.sqrt(400)
    assert found["mean"] == pytest.approx(values.mean(), abs=1e-8)
    assert found["low"] == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert found["high"] == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_turns_of_a_session_are_drawn_together() -> None:
    values = np.repeat(generator("values").normal(0.5, 0.1, size=100), 4)[:, None]
    widths = []
    for groups in (np.arange(400), np.repeat(np.arange(100), 4)):
        means = RunningMeans(["x"], 1000)
        means.add(values, groups.tolist(), {"all": np.arange(400)}, generator("draws"))
        found = means.summary("all")["x"]
        widths.append(found["high"] - found["low"])
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.15)  # a fourth as many that differ


@pytest.mark.slow
def test_the_number_of_workers_changes_no_byte(tmp_path: Path) -> None:
    data, files = write_data(tmp_path / "data", many(600)), []
    for at, (workers, engine) in enumerate(((1, "processes"), (2, "processes"), (2, "threads"))):
        out, place = tmp_path / str(at), {"workers": workers, "engine": engine}
        measure_data(data, metrics=[L1, SSIM], out=out, resamples=100, **place)
        files.append([(out / name).read_bytes() for name in ("quality.json", "quality.parquet")])
    assert files[0] == files[1] == files[2]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    peaks = []
    for count in (300, 1200):
        data = write_data(tmp_path / f"data-{count}", many(count))
        tracemalloc.start()
        out = tmp_path / f"out-{count}"
        measure_data(data, metrics=[L1], out=out, resamples=100, workers=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.15 * peaks[0] + 1_000_000


def test_what_is_printed_fits_80_columns(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    specs = [f"n{at}=pixels:ssim?against=source" for at in range(6)]
    print_quality(measure_data(data, metrics=[*specs, ABSENT], out=tmp_path / "out"))
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert "“change_color”" in printed
    assert "- far: these weights are not here; run `get them`" in printed


def test_the_page_loads_nothing_and_escapes_everything(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    data = write_data(tmp_path / "data", single_edits(2), task=[evil, "add"])
    measure_data(data, metrics=[L1], out=tmp_path / "out")
    elements = Elements((tmp_path / "out" / "quality.html").read_text("utf-8"))
    assert f"{evil} (1)" in elements.texts
    assert not elements.loads


def test_masks_are_read_by_the_rule_or_refused(tmp_path: Path) -> None:
    region = np.zeros((HEIGHT, WIDTH), np.uint8)
    region[4:30, 6:40] = 1
    for name, pixels in (("a", picture()), ("b", picture(shade=3)), ("m", region + 1)):
        put(tmp_path / f"{name}.png", encode_png(pixels))
    row = {"source": "a.png", "target": "b.png", "mask": "m.png", "instruction": "darken"}
    data, asked = metadata(tmp_path, [row]), ["i=pixels:l1_inside?against=source"]
    with pytest.raises(RecipeError, match=r"m\.png.*unclear(?s:.*)--mask-rule"):
        measure_data(data, metrics=asked, out=tmp_path / "out")
    change = np.abs(picture(shade=3).astype(int) - picture()).mean(axis=2) / 255
    for inside, more in ((region > 0, {}), (region == 0, {"invert_mask": True})):
        out = tmp_path / str(more)
        measure_data(data, metrics=asked, out=out, mask_rule="index:2", **more)
        (row,) = pq.read_table(out / "quality.parquet").to_pylist()
        assert row["i"] == pytest.approx(change[inside].mean(), abs=1e-6)
