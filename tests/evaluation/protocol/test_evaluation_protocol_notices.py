"""What a reader of the numbers must know: strips of panels, captions that look exchanged."""

import json
from pathlib import Path

import numpy as np
import pytest

from editloop.commands.terminal import print_notices, print_results
from editloop.errors import RecipeError
from editloop.evaluation.evaluate import evaluate
from editloop.images.codec import decode, encode_jpeg, encode_png, resize
from editloop.quality.dataset import measure_data
from editloop.quality.table import print_quality
from editloop.schema import Json, Pixels
from editloop.sources.import_data import import_data
from editloop.sources.scenes import photo
from evaluation_cards import own_card
from layout_folders import put
from magicbrush_data import make_split

pytestmark = pytest.mark.slow

PATH = "8_change_background_80/1_artificial/811.jpg"
METRIC = "own=pixels:l1?against=source"


def square(scene: str) -> Pixels:
    return resize(photo(scene)[:300, :300], 512, 512)


def pie(root: Path) -> Path:
    put(root / "annotation_images" / PATH, encode_jpeg(square("coffee"), 95))
    item = {
        "image_path": PATH,
        "original_prompt": "a cup",
        "editing_prompt": "a bowl",
        "editing_instruction": "make it a bowl",
        "editing_type_id": "8",
        "blended_word": "",
        "mask": [600, 10],
    }
    put(root / "mapping_file.json", json.dumps({"811": item}))
    return root


def scored(tmp_path: Path, output: Pixels, **settings: Json) -> dict[str, Json]:
    put(tmp_path / "outputs" / PATH, encode_png(output))
    data = pie(tmp_path / "data")
    editors = [f"theirs=recorded:{tmp_path / 'outputs'}"]
    return evaluate("pie-bench", data, editors, tmp_path / "out", metrics=[METRIC], **settings)


def l1(results: dict[str, Json]) -> float:
    found: float = results["evaluation"]["pie-bench/test"]["theirs"]["own"]["mean"]
    return found


def test_of_a_strip_of_panels_the_last_square_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited = square("chelsea")
    white = np.full_like(edited, 255)
    strip = np.hstack([white, square("coffee"), white, edited])
    source = decode((pie(tmp_path / "data") / "annotation_images" / PATH).read_bytes())
    due = np.abs(edited.astype(float) - source).mean() / 255
    results = scored(tmp_path, strip)
    assert l1(results) == pytest.approx(due)
    facts = results["benchmarks"]["pie-bench/test"]["editors"][0]
    assert facts["leftovers"] is None
    assert facts["unusual"] == {
        "count": 1,
        "first": ["811: 2048 x 512, its source 512 x 512: its last square is taken"],
    }
    (shown,) = (tmp_path / "out/evaluation/pie-bench/theirs").rglob("*.png")
    assert np.array_equal(decode(shown.read_bytes()), edited)
    print_results(results)
    assert "its last square is taken" in " ".join(capsys.readouterr().out.split())


def test_a_square_output_is_read_whole(tmp_path: Path) -> None:
    edited = square("chelsea")
    results = scored(tmp_path, edited)
    assert results["benchmarks"]["pie-bench/test"]["editors"][0]["unusual"] is None
    assert l1(results) > 0.1


def test_an_output_without_a_square_of_the_sources_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no square of 512 pixels"):
        scored(tmp_path, square("chelsea")[:300])


def same_captions(folder: Path) -> Path:
    """A split whose local captions of one session are the global ones."""
    data = make_split(folder)
    local = json.loads((data / "local_descriptions.json").read_text())
    local["101"] = json.loads((data / "global_descriptions.json").read_text())["101"]
    (data / "local_descriptions.json").write_text(json.dumps(local))
    return data


def test_local_captions_that_equal_the_global_ones_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = same_captions(tmp_path / "data")
    results = evaluate("magicbrush", data, ["copy"], tmp_path / "out", metrics=["l1"])
    facts = results["benchmarks"]["magicbrush/all-turns"]
    assert facts["same_captions"] == {"count": 3, "first": ["101/1", "101/2", "101/3"]}
    print_results(results)
    told = " ".join(capsys.readouterr().out.split())
    assert "warning: 3 local captions equal to the global ones" in told
    assert told.count("local captions equal") == 1
    assert "local captions equal" in (tmp_path / "out/report.html").read_text()


def test_measuring_and_importing_warn_of_them_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = same_captions(tmp_path / "data")
    measured = measure_data(data, metrics=["l1=pixels:l1?against=source"], out=tmp_path / "quality")
    print_quality(measured)
    imported = import_data("magicbrush", data, tmp_path / "run", workers=1)
    print_notices(imported)
    due = {"count": 3, "first": ["101/1", "101/2", "101/3"]}
    assert measured["same_captions"] == imported["same_captions"] == due
    told = " ".join(capsys.readouterr().out.split())
    assert told.count("warning: 3 local captions equal to the global ones") == 2


def test_cases_with_references_are_counted_and_left_out_by_editors_that_take_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"source": "a.png", "target": "a.png", "instruction": "make it night"}] * 2
    rows = [{**row, "id": str(at)} for at, row in enumerate(rows)]
    rows[1]["references"] = ["cup.png"]
    put(tmp_path / "data" / "metadata.jsonl", "\n".join(map(json.dumps, rows)))
    for name in ("a.png", "cup.png"):
        put(tmp_path / "data" / name, encode_png(square("coffee")))
    metrics = {"l1": {"kind": "pixels", "target": "l1"}}
    card = own_card(tmp_path, data={"layout": "metadata"}, metrics=metrics)
    results = evaluate(card, tmp_path / "data", ["copy", "darkroom"], tmp_path / "out")
    found = results["evaluation"]["magicbrush/all-turns"]
    assert {name: each["l1"]["count"] for name, each in found.items()} == {"copy": 2, "darkroom": 1}
    print_results(results)
    told = " ".join(capsys.readouterr().out.split())
    assert told.count("1 case with reference pictures, not edited by editors that take none") == 1


def test_captions_as_published_are_not_warned_of(tmp_path: Path) -> None:
    data = make_split(tmp_path / "data")
    results = evaluate("magicbrush", data, ["copy"], tmp_path / "out", metrics=["l1"])
    assert results["benchmarks"]["magicbrush/all-turns"]["same_captions"] is None
