"""`editloop describe`: the counts of a data set, its keywords, its page."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from editloop.cli import app
from editloop.errors import RecipeError
from editloop.images.codec import encode_jpeg, encode_png
from editloop.quality.describing import counting
from editloop.quality.describing.counting import Frequent, UniqueTexts
from editloop.quality.describing.describe_data import describe_data
from editloop.quality.describing.keywords import keywords_of
from editloop.quality.describing.tally import DataTally
from editloop.schema import EditSample, EditType, Image, Provenance, Score, Unscored
from editloop.sources.entries import Entry
from editloop.storage.samples import arrow_schema, to_row

GREY = np.full((32, 48, 3), 120, np.uint8)
SOURCE, TARGET = Image(encode_png(GREY)), Image(encode_jpeg(GREY[:, :32], 90))
PART = np.zeros((32, 48), np.uint8)
PART[4:9, 4:9] = 255
REGION, BLANK = Image(encode_png(PART)), Image(encode_png(np.full_like(PART, 255)))

INSTRUCTIONS = (
    *("add a red hat", "add a red hat", "add a  red hat", "add a dog"),
    *("make the sky pink", "remove the car", "it should look like winter"),
)


def sample(at: int, instruction: str) -> EditSample:
    made = Provenance("test", "1", licence="CC-BY-4.0" if at % 2 else None)
    return EditSample(
        id=f"e{at}",
        source=SOURCE,
        target=TARGET,
        instruction=instruction,
        edit_type=EditType.ADD if instruction.startswith("add") else None,
        mask=(None, REGION, BLANK)[at % 3],
        scores={"quality": Score(4.0) if at else Unscored("refused")},
        provenance=made,
    )


def publish(run: Path, samples: list[EditSample]) -> Path:
    (run / "data").mkdir(parents=True)
    table = pa.Table.from_pylist([to_row(each) for each in samples], schema=arrow_schema())
    pq.write_table(table, run / "data/train-00000-of-00001.parquet", row_group_size=4)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    samples = [sample(at, text) for at, text in enumerate(INSTRUCTIONS)]
    recorded = samples[-1].provenance
    assert recorded is not None
    samples[-1] = replace(
        samples[-1],
        provenance=replace(recorded, parameters={"ultra_edit_type": "transform_global"}),
    )
    return publish(tmp_path_factory.mktemp("run"), samples)


def test_instructions_are_counted_as_in_ultra_edits_table(run: Path, tmp_path: Path) -> None:
    found = describe_data(run, tmp_path)["instructions"]
    free, region = found["free-form"], found["region-based"]
    assert (free["instances"]["total"], region["instances"]["total"]) == (5, 2)
    assert free["instances"]["add"] == 3  # a blank mask allows everything
    assert (free["unique"]["add"], free["unique"]["total"]) == (2, 4)
    assert region["instances"] == {
        **dict.fromkeys(region["instances"], 0),
        **{"add": 1, "change_color": 1, "total": 2},
    }
    assert free["instances"]["transform_global"] == 1  # as recorded, where no rule is sure
    assert free["instances"]["others"] == 1


def test_words_keywords_sizes_licences_and_scores_are_counted(run: Path, tmp_path: Path) -> None:
    found = describe_data(run, tmp_path)
    assert found == json.loads((tmp_path / "describe.json").read_bytes())
    assert found["words"] == {"histogram": {"3": 2, "4": 4, "5": 1}, "mean": 3.8571, "median": 4}
    verbs = {each["verb"]: each for each in found["keywords"]["verbs"]}
    assert verbs["add"] == {"verb": "add", "count": 4, "objects": [["hat", 3], ["dog", 1]]}
    assert verbs["make"]["objects"] == [["sky", 1]]
    assert found["keywords"]["without_verb"] == 1
    assert found["edit_types"] == {"add": 4, "not typed": 3}
    assert found["sizes"]["source"] == {"most": [["48x32", 7]], "others": 0}
    assert found["sizes"]["target"] == {"most": [["32x32", 7]], "others": 0}
    assert found["licences"]["most"] == [["not stated", 4], ["CC-BY-4.0", 3]]
    quality = found["scores"]["quality"]
    assert quality == {"scored": 6, "unscored": 1, "mean": 4.0, "values": [[4.0, 6]]}


def test_the_page_and_the_terminal_show_them(run: Path, tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["describe", str(run), "--out", str(tmp_path)])
    assert ended.exit_code == 0, ended.output
    assert "most frequent verbs: add 4" in ended.output
    page = (tmp_path / "describe.html").read_text(encoding="utf-8")
    for words in ("free-form edits", "verbs and objects", "edits by licence", "48x32"):
        assert words in page
    again = describe_data(run, tmp_path / "again")
    assert (tmp_path / "again/describe.html").read_text(encoding="utf-8") == page
    assert again == describe_data(run, tmp_path, layout="published?split=train")


def test_edits_with_a_fault_are_counted_by_their_code(tmp_path: Path) -> None:
    pictures = tmp_path / "set"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(SOURCE.bytes)
    (pictures / "b.png").write_bytes(b"no picture")
    lines = [
        {"source": "a.png", "target": "b.png", "instruction": "add a hat"},
        {"source": "a.png", "target": "a.png", "instruction": None},
    ]
    path = pictures / "edits.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    found = describe_data(path, tmp_path / "out")
    assert (found["edits"], sum(found["left_out"].values())) == (1, 1)
    assert found["sizes"]["target"]["most"] == [["unreadable", 1]]
    path.write_text(json.dumps(lines[1]), encoding="utf-8")
    with pytest.raises(RecipeError):
        describe_data(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("instruction", "found"),
    [
        ("Add a red balloon to the sky.", ("add", "balloon")),
        ("could you please make the man's hat bigger?", ("make", "hat")),
        ("Turn the red ball blue", ("turn", "ball")),
        ("change the color of the car to green", ("change", "color")),
        ("make it snow", ("make", "it")),
        ("zoom in on the two cats and add a dog", ("zoom", "cats")),
        ("The dog was replaced by a beautiful swan", ("replace", "swan")),
        ("putting her hat on the table", ("put", "hat")),
        ("recolour the wall", ("recolour", "wall")),
        ("recoloring the wall", ("recolour", "wall")),
        ("remove", ("remove", None)),
        ("make the background blue", ("make", "background")),
        ("What if it were winter?", None),
        ("", None),
        ("给天空添加一个气球", None),
    ],
)
def test_the_keywords_of_an_instruction(
    instruction: str, found: tuple[str, str | None] | None
) -> None:
    assert keywords_of(instruction) == found


def test_different_texts_are_counted_exactly_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_SLICE", 7)
    texts = UniqueTexts()
    for at in range(100):
        texts.add(at % 3, f"text {at % 40}")
    expected = [len({at % 40 for at in range(100) if at % 3 == group}) for group in range(3)]
    assert texts.counts(4) == [*expected, 0]
    assert UniqueTexts().counts(2) == [0, 0]


def test_rare_values_are_counted_together() -> None:
    counts: Frequent[str] = Frequent(most=2)
    for value in "abacad":
        counts.add(value)
    assert (counts.top(), counts.total) == ([("a", 3), ("b", 1)], 6)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_edits() -> None:
    def peak(edits: int) -> int:
        tally = DataTally()
        tracemalloc.start()
        for at in range(edits):
            made = replace(sample(at % 6, f"add hat {at} to the head"), mask=None)
            tally.add(Entry("", made, SOURCE, TARGET))
        found = tally.to_json()
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found["instructions"]["free-form"]["unique"]["total"] == edits
        return used

    peak(10)
    assert peak(1600) < peak(100) + 200_000
