"""The report: self-contained, escaped, the same bytes every time, whole or partial."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from editloop.evaluation.report.html import HtmlReport
from editloop.images.codec import decode, encode_png
from editloop.loop.parts import PartContext
from editloop.registry import create
from editloop.schema import EditSample, Image, Json, Score
from editloop.showing.triplets import triplets
from editloop.storage.samples import arrow_schema, to_row
from evaluation_fakes import sessions, single_edits
from evaluation_pages import Elements

EVIL = "<script>alert('x')</script> & \"quoted\" $x_1$"
EDITORS = [
    "still=python:evaluation_fakes:Still",
    "half=python:evaluation_fakes:Light?share=0.5",
    "choosy=python:evaluation_fakes:Choosy",
    "absent=python:evaluation_fakes:Absent",
]
CLAIM = {"order": ["half", "still"], "metrics": ["l1"]}
TIMINGS = {
    "build": {"seconds": 61.2, "shards": 3, "steps": {"darkroom": 50.0, "photos": 9.9}},
    "models/plain": {"seconds": 3700.0, "steps": 40},
}
BUILD = {
    "in": 9,
    "out": 14,
    "dropped": 2,
    "quarantined": 1,
    "by_step": {"dropped": {"lint": {EVIL: 2}}, "quarantined": {"photos": {"truncated": 1}}},
    "splits": {"train": {"in": 9, "out": 14, "dropped": 2, "quarantined": 1}},
}


def publish(run: Path, split: str, samples: list[EditSample]) -> None:
    (run / "data").mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([to_row(each) for each in samples], schema=arrow_schema())
    pq.write_table(table, run / "data" / f"{split}-00000-of-00001.parquet", row_group_size=4)


def train_split() -> list[EditSample]:
    scores = {"following": Score(0.0, False, EVIL), "quality": Score(5.0, True, "None")}
    return [replace(each, scores=scores) for each in single_edits(14)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small whole run: data, a model's losses, a benchmark of four editors."""
    folder = tmp_path_factory.mktemp("run")
    publish(folder, "train", train_split())
    *mild, last = single_edits(9)
    evil = replace(last, instruction=EVIL)
    publish(folder, "heldout", [*mild, evil, *sessions(3)])
    settings = {"editors": EDITORS, "claims": [CLAIM], "resamples": 100}
    names = {"work": "work", "cache": "cache", "output": "evaluation/darkroom"}
    folders = {key: folder / name for key, name in names.items()}
    part = create("evaluate", "darkroom", settings)
    found = part.run(PartContext(name="darkroom", seed=0, run=folder, inputs="", **folders))
    results = {"recipe": EVIL, "seed": 7, "build": BUILD, **found.results}
    (folder / "results.json").write_text(json.dumps(results, sort_keys=True))
    recipe = {"name": "tiny", "seed": 7, "evaluate": [{"kind": "darkroom", "note": EVIL}]}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    lines = [{"step": n, "loss": 1 / n} for n in range(1, 40)] + [
        {"step": 40, "loss": 0.025, "validation_loss": 0.03}
    ]
    (folder / "models" / "plain").mkdir(parents=True)
    (folder / "models" / "plain" / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


def write(run: Path, **settings: Json) -> str:
    report = create("report", "html", settings)
    assert isinstance(report, HtmlReport)
    path = report.write(run, json.loads((run / "results.json").read_text()), TIMINGS)
    assert path == run / "report.html"
    return path.read_text("utf-8")


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return write(run)


def test_the_page_loads_nothing(page: str) -> None:
    elements = Elements(page)
    assert not elements.loads
    assert all(image["src"].startswith("data:image/") for image in elements.of("img"))
    assert all(link["href"].startswith("#") for link in elements.of("a"))
    assert not re.findall(r"url\((?!#)|@import", page)
    policy = [each["content"] for each in elements.of("meta") if "http-equiv" in each]
    assert policy == [
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'"
    ]


def test_everything_that_came_from_outside_is_escaped(page: str) -> None:
    assert "<script" not in page
    texts = Elements(page).texts
    assert EVIL in texts  # as an instruction, a reward's words, and the recipe's name
    assert f"2: {EVIL}" in texts


def test_every_picture_and_chart_says_what_it_shows(page: str) -> None:
    elements = Elements(page)
    assert len(elements.of("img")) > 60
    assert all(image["alt"] for image in elements.of("img"))
    charts = [each for each in elements.of("svg") if each["role"] == "img"]
    assert len(charts) == 2 + 1 + 4  # rewards, losses, drift
    assert all(chart["aria-label"] for chart in charts)


def test_links_and_references_meet_one_element_each(page: str) -> None:
    elements = Elements(page)
    ids = [attributes["id"] for tag, attributes in elements.found if tag == "section" if
           "id" in attributes]  # fmt: skip
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in elements.of("a")} <= set(ids)
    named = set(re.findall(r' id="([^"]+)"', page))
    assert set(re.findall(r'(?:xlink:href="|url\()#([^")]+)', page)) <= named


def test_all_sections_are_there(page: str) -> None:
    texts = Elements(page).texts
    for heading in ("Findings", "Evaluation", "Drift by turn", "Gallery", "Data", "Training"):
        assert heading in texts
    for words in ("darkroom/single-turn", "darkroom/sessions", "1 min 1 s", "1 h 1 min", "shown"):
        assert words in texts


def test_counts_stand_with_their_reasons(page: str) -> None:
    assert "1: quarantined: truncated" in Elements(page).texts
    left = re.findall(r"<td>(\d+) <span class=.hint.>([\d.]+)%", page)  # lint, then photos
    assert left == [("17", "100.0"), ("15", "88.2"), ("14", "82.4")]
    row = r"<th scope=.row.>train</th><td>9</td><td>14</td><td>2</td><td>1</td>"
    assert re.search(row, page)


def test_what_is_missing_says_why(page: str) -> None:
    texts = Elements(page).texts
    assert "it does not edit locally" in texts
    at = texts.index(": 1.0 weights are absent; run")
    assert (texts[at - 1], texts[at + 1]) == ("absent", "get the-weights")


def test_the_same_run_gives_the_same_bytes(run: Path, page: str) -> None:
    assert write(run) == page


@pytest.mark.slow
def test_the_number_of_pictures_is_set(run: Path, page: str) -> None:
    few = write(run, samples=1, gallery=4)
    assert few.count("<article") == 1 + 4 + 1
    assert page.count("<article") == 12 + 9 + 3
    none = write(run, samples=0, gallery=0)
    assert none.count("<article") == 0


def test_a_title_can_be_given(run: Path) -> None:
    assert "<h1>A &lt;fine&gt; run</h1>" in write(run, title="A <fine> run")


def test_small_pictures_stay_lossless_and_large_ones_are_reduced(tmp_path: Path) -> None:
    first, second = single_edits(2)
    large = Image(encode_png(np.zeros((400, 800, 3), np.uint8)))
    publish(tmp_path, "train", [first, replace(second, source=large, target=None, mask=None)])
    small, reduced = triplets(tmp_path / "data", "train", [first.id, second.id])
    assert small.pictures[0].small
    assert small.pictures[0].uri.startswith("data:image/png")
    assert len(reduced.pictures) == 1
    kind, _, data = reduced.pictures[0].uri.partition(";base64,")
    assert kind == "data:image/jpeg"
    assert decode(base64.b64decode(data)).shape == (160, 320, 3)


def test_an_empty_run_still_has_a_report(tmp_path: Path) -> None:
    path = create("report", "html", {}).write(tmp_path, {}, {})
    assert "</main>" in path.read_text()
    assert "How to read this" not in path.read_text()


def test_a_run_with_data_only_shows_the_data(tmp_path: Path) -> None:
    publish(tmp_path, "train", train_split())
    path = create("report", "html", {}).write(tmp_path, {"recipe": "data", "build": BUILD}, TIMINGS)
    texts = Elements(path.read_text()).texts
    assert "Samples of the train split" in texts
    assert "Evaluation" not in texts


def test_a_benchmark_of_another_kind_is_shown_too(tmp_path: Path) -> None:
    entry = {"mean": 0.5, "low": 0.4, "high": 0.6, "count": 9, "coverage": 1.0}
    scores = {"one": {"clip_i": entry, "l1": entry}}
    results = {"evaluation": {"magicbrush/all-turns": scores}}
    path = create("report", "html", {}).write(tmp_path, results, {})
    texts = Elements(path.read_text()).texts
    assert "magicbrush/all-turns" in texts
    assert "CLIP-I" in texts
