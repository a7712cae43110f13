import os
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from editloop.errors import ImageError, RecipeError
from editloop.images.codec import decode
from editloop.kernel.chunks import ChunkRunner
from editloop.schema import EditSample, EditType, Image
from editloop.sources.checks import picture_size
from editloop.sources.layouts import LAYOUTS, open_layout
from editloop.sources.taxonomies import TAXONOMIES, edit_type
from editloop.storage.samples import arrow_schema, to_row
from editloop.storage.shards import ShardStore
from layout_folders import HEIGHT, WIDTH, jpeg, magicbrush, metadata, parquet, png, put
from odd_images import odd_images


def published(root: Path, splits: dict[str, list[EditSample]]) -> Path:
    """Create a run folder with these published splits."""
    for split, samples in splits.items():
        path = root / "data" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([*map(to_row, samples)], arrow_schema()), path)
    return root


def sample(name: str, turn: int, shade: int) -> EditSample:
    source, target = Image(png(shade=shade)), Image(png(shade=shade + 1))
    return EditSample(name, source, "darken", target, session="s", turn=turn)


def test_an_unknown_layout_is_refused_with_a_guess(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean 'magicbrush'"):
        open_layout("magicbrsh", tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such folder"):
        open_layout("metadata", tmp_path / "gone")


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="layout magicbrush: unknown key"):
        open_layout("magicbrush", tmp_path, language="en")


@pytest.mark.parametrize("kind", LAYOUTS)
def test_an_empty_folder_is_a_problem_in_every_layout(tmp_path: Path, kind: str) -> None:
    layout = open_layout(kind, tmp_path)
    assert layout.name == kind
    assert layout.problems()
    with pytest.raises(RecipeError):
        next(layout.sessions())


def test_published_data_comes_back_with_its_sessions(tmp_path: Path) -> None:
    samples = [sample("s/1", 1, 0), sample("s/2", 2, 1)]
    run = published(tmp_path, {"heldout": samples})
    (session,) = open_layout("published", run).sessions()
    assert session == samples
    assert session[1].source is session[0].target
    assert list(open_layout("published", run / "data").sessions()) == [samples]


def test_only_the_sessions_that_are_looked_for_are_read(tmp_path: Path) -> None:
    layout = open_layout("magicbrush", magicbrush(tmp_path, {"7": 2, "8": 1}))
    first, *others = layout.sessions()
    for path in tmp_path.glob(f"images/{others[0][0].session}/*"):
        path.write_bytes(b"no picture any more")
    assert list(layout.find([first[0].id])) == [first]
    assert list(layout.find([])) == []


def test_a_split_of_published_data_is_chosen(tmp_path: Path) -> None:
    run = published(tmp_path, {"train": [sample("a", 1, 0)], "heldout": [sample("b", 1, 0)]})
    ((chosen,),) = open_layout("published", run, split="heldout").sessions()
    assert chosen.id == "b"
    (problem,) = open_layout("published", run).problems()
    assert problem.fix == "choose a split: heldout, train"


def test_damaged_published_data_is_a_problem(tmp_path: Path) -> None:
    run = published(tmp_path, {"train": [sample("a", 1, 0)]})
    (path,) = (run / "data").iterdir()
    path.write_bytes(path.read_bytes()[:-40])
    assert "a Parquet file cannot be read back" in str(open_layout("published", run).problems())


def test_the_digest_changes_with_a_picture_and_with_the_index(tmp_path: Path) -> None:
    split = magicbrush(tmp_path, {"30": 1})
    seen = {open_layout("magicbrush", split).digest()}
    picture = split / "images" / "30" / "30-input.png"
    os.utime(picture, ns=(1, 1))
    seen.add(open_layout("magicbrush", split).digest())
    index = split / "edit_sessions.json"
    status = index.stat()
    put(index, index.read_text().replace("darker", "dimmer"))
    os.utime(index, ns=(status.st_atime_ns, status.st_mtime_ns))
    seen.add(open_layout("magicbrush", split).digest())
    assert len(seen) == 3


def test_the_digest_is_the_same_for_the_same_data(tmp_path: Path) -> None:
    split = magicbrush(tmp_path, {"30": 1})
    assert open_layout("magicbrush", split).digest() == open_layout("magicbrush", split).digest()


def test_the_digest_of_a_table_changes_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "train-00000-of-00001.parquet"
    parquet(path, [{"source": png(), "instruction": "darken"}])
    before = open_layout("metadata", tmp_path).digest()
    parquet(path, [{"source": png(), "instruction": "darken it"}])
    assert open_layout("metadata", tmp_path).digest() != before


def test_data_that_breaks_after_the_check_is_refused_not_skipped(tmp_path: Path) -> None:
    put(tmp_path / "a.png", png())
    rows = [{"file_name": "a.png", "instruction": "darken"}]
    layout = open_layout("metadata", metadata(tmp_path, rows))
    assert layout.problems() == []
    put(tmp_path / "metadata.jsonl", "{")
    with pytest.raises(RecipeError, match="1 problem"):
        list(layout.sessions())


def test_processes_find_the_problems_that_are_found_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("editloop.sources.reading._CHECKED", 2)
    put(tmp_path / "a.png", png())
    put(tmp_path / "broken.png", png()[:-60])
    names = ["a.png", "gone.png", "a.png", "broken.png", "a.png", "a.png", "a.png"]
    rows = [
        {"id": str(at), "file_name": name, "instruction": "darken"} for at, name in enumerate(names)
    ]
    rows[4]["instruction"], rows[5]["id"] = " ", "0"
    folder = metadata(tmp_path, rows)
    here, apart = open_layout("metadata", folder), open_layout("metadata", folder)
    with ChunkRunner(2) as runner:
        found = apart.problems(partial(runner.map, ShardStore(tmp_path / "store")))
    assert found == here.problems()
    causes = ["missing", "no instruction", "cannot be read", "used twice"]
    assert all(cause in each.cause for cause, each in zip(causes, found, strict=True))
    sound = [[sample.id for sample in session] for session in apart.sound_sessions()]
    assert sound == [["0"], ["2"], ["6"]]


def test_a_whole_png_is_measured_without_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("editloop.sources.checks.decode")
    assert picture_size(png()) == (HEIGHT, WIDTH)


@pytest.mark.parametrize("at", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("data", [png(), jpeg()], ids=["png", "jpeg"])
def test_a_cut_picture_is_refused(data: bytes, at: float) -> None:
    with pytest.raises(ImageError) as caught:
        picture_size(data[: int(at * len(data))])
    assert caught.value.code in ("truncated", "broken")


def test_a_png_with_a_flipped_bit_is_refused() -> None:
    damaged = bytearray(png())
    damaged[len(damaged) // 2] ^= 1
    with pytest.raises(ImageError):
        picture_size(bytes(damaged))


@pytest.mark.parametrize("name", odd_images())
def test_a_picture_is_refused_exactly_when_it_cannot_be_decoded(name: str) -> None:
    data = odd_images()[name].data
    try:
        due: object = decode(data).shape[:2]
    except ImageError as error:
        due = error.code
    try:
        found: object = picture_size(data)
    except ImageError as error:
        found = error.code
    assert found == due


@pytest.mark.parametrize(
    ("taxonomy", "label", "due"),
    [
        ("real-edit", "Background", EditType.BACKGROUND),
        ("emu-edit", "text", EditType.LOCAL),
        ("ultra-edit", "Change Color", EditType.TEXTURE),
        ("ultra-edit", "turn", None),
        ("pie-bench", "9", EditType.STYLE),
        ("pie-bench", "0", None),
        ("gedit", "subject-add", EditType.ADD),
        ("imgedit", "compose", None),
        ("imgedit", "no such type", None),
    ],
)
def test_other_kinds_of_edit_map_onto_ours(taxonomy: str, label: str, due: EditType | None) -> None:
    assert edit_type(label, TAXONOMIES[taxonomy]) is due
