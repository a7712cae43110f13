"""The page on the architecture: its tables are true, and each of its examples has its effect."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import editloop
from document_blocks import ROOT, blocks, write_files
from editloop.chat.fake.server import FakeServer
from editloop.errors import InstructionError
from editloop.kernel.build import Options, build
from editloop.kernel.tasks import StepSpec
from editloop.loop import run as loop
from editloop.metrics.metric_set import MetricSet, metrics_of
from editloop.registry import BUILT_IN, create, kinds
from editloop.schema import EditedPair, Score
from magicbrush_data import TURNS, make_outputs, make_split, picture
from test_house import ORDER, PACKAGE, ROOTS

PAGE = ROOT / "docs" / "architecture.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """A folder with the page's files, from which Python imports."""
    made = tmp_path_factory.mktemp("architecture")
    write_files(made, PAGE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(made)
        yield made


@pytest.fixture(scope="module")
def run(folder) -> Path:
    """The run folder of the page's recipe."""
    editloop.run(folder / "my-recipe.yaml", folder / "run", workers=1)
    return folder / "run"


@pytest.fixture(scope="module")
def samples(run) -> list[editloop.EditSample]:
    return list(editloop.read_samples(run / "data", "train"))


def test_the_table_lists_the_rooms_that_exist_in_their_order() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", TEXT, flags=re.MULTILINE)
    assert listed == [room for room in ORDER if (PACKAGE / room / "__init__.py").exists()]


def test_the_root_is_what_the_page_says() -> None:
    rule = TEXT.partition("**The import rule.**")[2].partition("A room imports")[0]
    assert set(re.findall(r"`(\w+)`", rule)) == ROOTS


def test_every_file_that_the_page_names_exists() -> None:
    way = TEXT.partition("## A sample's way")[2].partition("## Add a part")[0]
    named = re.findall(r"`([\w/]+\.py|[\w/]+/)`", way)
    missing = [path for path in named if not (PACKAGE / path).exists()]
    assert (missing, len(named) > 10) == (["src/editloop/", "data/"], True)


def test_the_way_has_ten_steps_and_each_names_a_file() -> None:
    way = TEXT.partition("## A sample's way")[2].partition("## Add a part")[0]
    steps = re.split(r"^\d+\. ", way, flags=re.MULTILINE)[1:]
    assert [bool(re.search(r"`[\w/]+\.py`", step)) for step in steps] == [True] * 10


def test_the_page_is_linked() -> None:
    for name in ("README.md", "CONTRIBUTING.md"):
        assert "(docs/architecture.md)" in (ROOT / name).read_text(encoding="utf-8")


def test_the_source_gives_its_pictures(run, samples) -> None:
    dropped = pq.read_table(run / "rejects" / "dropped.parquet").column("id").to_pylist()
    ends = [*dropped, *(sample.id for sample in samples)]
    assert sorted(each for each in ends if each.startswith("greys/")) == [
        "greys/0/0",
        "greys/128/0",
    ]


def test_the_step_changes_the_instruction(samples) -> None:
    assert samples
    assert all(sample.instruction.endswith(", please") for sample in samples)


def test_the_filter_drops_with_its_reason(run, samples) -> None:
    reason = {"visible-change": {"hardly any change": 14 - len(samples)}}
    assert loop.results(run)["build"]["by_step"]["dropped"] == reason
    dropped = pq.read_table(run / "rejects" / "dropped.parquet").to_pylist()
    assert [row["reason"] for row in dropped] == ["hardly any change"] * (14 - len(samples))
    assert 0 < len(samples) < 14


@pytest.mark.usefixtures("folder")
def test_the_best_of_each_group_is_kept(tmp_path) -> None:
    photos = StepSpec(
        "source", "photos", "photos", {"size": 48, "train": 3, "heldout": 0, "seed": 0}
    )
    steps = [
        StepSpec("build", "darkroom", "darkroom", {"edits_per_photo": 3}),
        StepSpec("build", "gather", "gather"),
        StepSpec("build", "longest", "my_best:Longest"),
    ]
    build([photos], steps, out=tmp_path, shard_size=1, options=Options(workers=0))
    kept = [sample.provenance for sample in editloop.read_samples(tmp_path / "data", "train")]
    assert len({made.source_uri for made in kept}) == len(kept)


@pytest.mark.usefixtures("folder")
def test_the_question_is_asked_once_and_its_reply_is_read(tmp_path) -> None:
    asked: list[str] = []

    def answer(request) -> str:
        asked.append(request.texts[0])
        return "a wall" if len(asked) > 1 else "word " * 21

    sources = [StepSpec("source", "greys", "my_source:Greys", {"levels": [0, 128]})]
    with FakeServer(answer) as server:
        model = {"target": "fake", "base_url": server.base_url, "ledger": str(tmp_path / "ledger")}
        steps = [StepSpec("build", "caption", "my_caption:Caption", {**model, "concurrency": 1})]
        for out in ("first", "second"):  # the second pays nothing
            build(sources, steps, out=tmp_path / out, options=Options(workers=0))
            captioned = list(editloop.read_samples(tmp_path / out / "data", "train"))
            assert [sample.source_caption for sample in captioned] == ["a wall", "a wall"]
    assert len(asked) == 3
    assert asked[0].startswith("Describe the picture in one sentence.")


def test_the_judges_scores_are_in_the_samples(samples) -> None:
    for sample in samples:
        score = sample.scores["brightness"]
        assert isinstance(score, Score)
        assert 0 <= score.value <= 5
        assert score.version == "1"
    assert len({sample.scores["brightness"].value for sample in samples}) > 1


@pytest.mark.usefixtures("folder")
def test_the_editor_edits() -> None:
    photo = picture("architecture")
    (edited,) = editloop.edit(photo, "make it a negative", editor="python:my_editor:Negative")
    np.testing.assert_array_equal(edited, 255 - photo)


@pytest.mark.usefixtures("folder")
def test_the_editor_refuses_other_instructions() -> None:
    with pytest.raises(InstructionError, match="only makes negatives"):
        editloop.edit(picture("architecture"), "make it night", editor="python:my_editor:Negative")


@pytest.mark.usefixtures("folder")
def test_the_metric_measures_a_pair() -> None:
    black, white = (np.full((8, 8, 3), level, np.uint8) for level in (0, 255))
    pair = EditedPair("a", source=black, instruction="make it white", edited=white)
    metrics = MetricSet(metrics_of(["python:my_metric:BrightnessChange"]))
    assert metrics.measure([pair]) == [{"brightness_change": Score(1.0)}]


def test_the_card_evaluates(folder) -> None:
    data, outputs = make_split(folder / "split"), make_outputs(folder / "outputs")
    editors = ["copy", f"mine=recorded:{outputs}"]
    found = editloop.evaluate(folder / "my-card.yaml", data, editors, folder / "evaluated")
    numbers = found["evaluation"]["my-card/turns"]
    assert set(numbers["copy"]) == {"l1", "brightness_change"}
    change = numbers["copy"]["brightness_change"]
    assert (change["mean"], change["count"], change["coverage"]) == (0.0, sum(TURNS), 1.0)
    assert numbers["mine"]["brightness_change"]["mean"] != 0


def test_the_entry_point_names_the_metric(folder) -> None:
    """An installed package is a folder with a description on the search path."""
    (text,) = blocks("toml", PAGE)
    ((group, points),) = tomllib.loads(text)["project"]["entry-points"].items()
    described = folder / "my_package-1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1\n")
    lines = [f"[{group}]", *(f"{name} = {path}" for name, path in points.items())]
    (described / "entry_points.txt").write_text("\n".join(lines) + "\n")
    assert set(points) <= set(kinds("metric"))
    assert create("metric", "brightness-change", {}).name == "brightness_change"


def test_the_page_lists_the_groups_of_kinds() -> None:
    last = TEXT.partition("The groups are")[2]
    assert set(re.findall(r"`editloop\.(\w+)`", last)) == set(BUILT_IN)


@pytest.mark.slow
def test_the_search_path_lets_the_command_find_the_classes(folder) -> None:
    """`-P` leaves out the working directory, as the installed command does."""
    assert "export PYTHONPATH=.\n" in TEXT
    path = {"PYTHONPATH": f".:{PACKAGE.parent}"}
    words = ["-P", "-m", "editloop", "run", "my-recipe.yaml", "--dry-run"]
    ended = subprocess.run(
        [sys.executable, *words], cwd=folder, env=path, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "polite" in ended.stdout
