"""A run folder may come from somebody else: files outside it that its records name stay unseen."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from editloop.errors import CorruptError, StoreError
from editloop.evaluation.comparing.compare import compare_runs
from editloop.evaluation.comparing.shared import SharedCases
from editloop.evaluation.evaluate import evaluate
from editloop.evaluation.report.views import looks
from editloop.images.codec import encode_png
from editloop.loop import run as loop
from editloop.schema import EditSample, Image, Json
from editloop.showing.thumbnails import LightPictures
from editloop.storage.commits import StoredTable
from editloop.storage.manifests import find_manifest, record_manifest
from editloop.storage.records import encode_record
from editloop.storage.samples import from_row, to_row
from magicbrush_data import make_outputs, make_split, picture

REFUSED = "names a file outside it that is not what was evaluated"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of MagicBrush's protocol by recorded pictures, and a private picture beside it."""
    folder = tmp_path_factory.mktemp("made")
    data = make_split(folder / "data")
    (folder / "private.png").write_bytes(encode_png(picture("private")))
    editors = [f"mine=recorded:{make_outputs(folder / 'made')}", "copy"]
    evaluate("magicbrush", data, editors, folder / "run", metrics=["l1"], resamples=100)
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "run", tmp_path / "run")
    return tmp_path / "run"


def change_cases(run: Path, change: Callable[[Json], None]) -> None:
    path = run / "evaluation/magicbrush/cases.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row in rows:
        change(row)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    record_manifest(run, "evaluation/magicbrush", [path])


def shared(run: Path) -> list[object]:
    (found,) = (
        each for each in compare_runs([run], resamples=100).benchmarks if "all-turns" in each.name
    )
    first, second = found.editors
    return list(SharedCases(found.name, (first, second), (run, run), None, 0))


def is_shown(path: Path, page: str) -> bool:
    return LightPictures().shown("", path.read_bytes(), "").uri in page


def absolute(made: Path, run: Path) -> str:
    del run
    return str(made / "private.png")


def relative(made: Path, run: Path) -> str:
    del run
    return f"{'../' * 20}{(made / 'private.png').relative_to('/')}"


def linked(made: Path, run: Path) -> str:
    (run / "evaluation/magicbrush/linked.png").symlink_to(made / "private.png")
    return "linked.png"


def test_what_was_evaluated_is_shown_from_outside(made: Path, run: Path) -> None:
    text = loop.report(run).read_text("utf-8")
    assert "not those that were evaluated" not in text
    assert REFUSED not in text
    assert any(is_shown(path, text) for path in (made / "data").rglob("*-output1.png"))
    assert any(is_shown(path, text) for path in (made / "made").rglob("*.png"))
    assert shared(run)


@pytest.mark.slow
@pytest.mark.parametrize("place", [absolute, relative, linked])
@pytest.mark.parametrize("known", [True, False], ids=["another hash", "no hash"])
def test_a_picture_column_that_names_another_file_is_not_followed(
    made: Path, run: Path, place: Callable[[Path, Path], str], known: bool
) -> None:
    named = place(made, run)

    def change(row: Json) -> None:
        row["picture"] = named
        row["sha256"] = row["sha256"] if known else None

    change_cases(run, change)
    text = loop.report(run).read_text("utf-8")
    articles = text.split("<article")[1:]
    assert articles
    assert all(REFUSED in each for each in articles)
    assert not is_shown(made / "private.png", text)
    with pytest.raises(StoreError, match=REFUSED):
        shared(run)


def test_data_that_a_recipe_names_are_not_shown_unless_they_were_evaluated(
    run: Path, tmp_path: Path
) -> None:
    private = make_split(tmp_path / "private")
    for path in (private / "images").rglob("*.png"):
        path.write_bytes(encode_png(picture(f"private {path.name}")))
    recipe = json.loads((run / "recipe.json").read_bytes())
    recipe["evaluate"][0]["data"] = str(private)
    (run / "recipe.json").write_text(json.dumps(recipe))
    text = loop.report(run).read_text("utf-8")
    assert "the data are not those that were evaluated" in text
    assert not any(is_shown(path, text) for path in private.rglob("*.png"))
    with pytest.raises(StoreError, match="not those that were evaluated"):
        shared(run)


def test_a_sheet_of_a_model_that_links_outside_is_not_shown(made: Path, run: Path) -> None:
    folder = run / "models/plain/samples"
    folder.mkdir(parents=True)
    (folder / "step-1.png").symlink_to(made / "private.png")
    with pytest.raises(StoreError, match=REFUSED):
        looks(run)


def test_a_stored_picture_without_bytes_is_not_looked_for_at_its_path(made: Path) -> None:
    row = to_row(EditSample(id="1", source=Image(b"x"), instruction="x"))
    for name in ("source", "target", "mask", "references"):
        null = {"bytes": None, "path": str(made / "private.png")}
        with pytest.raises(CorruptError, match="its path is not followed"):
            from_row({**row, name: [null] if name == "references" else null})


@pytest.mark.parametrize("name", ["/etc/passwd", "../../x", "a/../../x", "a\0"])
def test_records_name_no_file_outside_their_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(CorruptError, match="outside its folder"):
        StoredTable(name, "", 0, 0)
    body = {
        "name": "x",
        "files": {name: {"sha256": "", "bytes": 0}},
        "fingerprint": "",
        "facts": {},
    }
    place = tmp_path / ".editloop/manifests/x.json"
    place.parent.mkdir(parents=True)
    place.write_bytes(encode_record(body))
    with pytest.raises(CorruptError, match="outside its folder"):
        find_manifest(tmp_path, "x")
