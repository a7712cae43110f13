"""Existing data sets as a source: whole samples, listed without pictures, none skipped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from editloop.errors import CorruptError, RecipeError
from editloop.images.codec import decode, decode_mask, encode_png
from editloop.kernel.steps import Fail, Keep, Outcome, SourceItem
from editloop.schema import EditSample, EditType, Image, Provenance, Score, Unscored
from editloop.sources import stored
from editloop.sources.layout_source import LayoutSource
from editloop.sources.layouts import open_layout
from editloop.storage.samples import arrow_schema, to_row
from layout_folders import magicbrush, metadata, parquet, png, put


def source(folder: Path, **settings: Any) -> LayoutSource:
    return LayoutSource(LayoutSource.Settings(path=folder, **settings))


def names(folder: Path, **settings: Any) -> list[str]:
    return [item.id for item in source(folder, **settings).items()]


def loaded(folder: Path, **settings: Any) -> list[Outcome]:
    data = source(folder, **settings)
    items = [through_json(item) for item in data.items()]
    return source(folder, **settings).load(items)  # as another process would


def samples(folder: Path, **settings: Any) -> list[EditSample]:
    outcomes = loaded(folder, **settings)
    assert all(isinstance(outcome, Keep) for outcome in outcomes), outcomes
    return [each.samples[0] for each in outcomes if isinstance(each, Keep)]


def through_json(item: SourceItem) -> SourceItem:
    """Return the item as read back from a plan's file."""
    return SourceItem(item.id, item.split, item.uri, json.loads(json.dumps(item.parameters)))


def edit(name: str, shade: int = 0, **fields: Any) -> EditSample:
    whole = EditSample(
        id=name,
        source=Image(png(shade=shade), "source.png"),
        instruction=f"darken {name}",
        target=Image(png(shade=shade + 1), "target.png"),
        edit_type=EditType.GLOBAL,
        source_caption="a cat",
        scores={"following": Score(4.5, True, "good", "v1"), "quality": Unscored("refused")},
        provenance=Provenance(
            "darkroom", "1", 7, {"faults": [{"kind": "blur"}]}, "CC0", "photos:x"
        ),
    )
    return replace(whole, **fields)


def published(folder: Path, splits: Mapping[str, Sequence[EditSample]], rows: int = 100) -> Path:
    for split, chosen in splits.items():
        path = folder / "data" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist([*map(to_row, chosen)], arrow_schema())
        pq.write_table(table, path, row_group_size=rows, write_page_checksum=True)
    return folder


def folders(root: Path) -> Iterator[tuple[str, Path]]:
    """Create a data set for each kind of index."""
    yield "published", published(root / "published", {"train": [edit("a"), edit("b", 2)]})
    yield "magicbrush", magicbrush(root / "magicbrush", {"30": 3, "41": 1})
    put(root / "lines/a.png", png())
    lines = [{"file_name": "a.png", "instruction": text, "other": 3} for text in ("one", "two")]
    yield "metadata", metadata(root / "lines", lines)
    rows = [
        {
            "source_img": png(),
            "target_img": png(shade=turn),
            "instruction": str(turn),
            "img_id": "7",
        }
        for turn in (1, 2, 3)
    ]
    parquet(root / "table/a.parquet", rows)
    yield "metadata", root / "table"
    mask = {"mask": [600, 10], "image_path": "a.png", "editing_type_id": "1"}
    words = {"original_prompt": "a", "editing_prompt": "b", "editing_instruction": "c"}
    put(root / "pie/annotation_images/a.png", png(size=(512, 512)))
    put(root / "pie/mapping_file.json", json.dumps({"1": {**mask, **words}}))
    yield "pie-bench", root / "pie"


def test_samples_are_those_that_the_layout_reads(tmp_path: Path) -> None:
    for kind, folder in folders(tmp_path):
        due = [sample for turns in open_layout(kind, folder).sessions() for sample in turns]
        assert samples(folder, layout=kind) == due, folder


def test_published_samples_come_whole(tmp_path: Path) -> None:
    due = [edit("a"), edit("b", 2)]
    assert samples(published(tmp_path, {"train": due})) == due


def test_the_layout_is_told_by_the_files(tmp_path: Path) -> None:
    folder = magicbrush(tmp_path, {"30": 1})
    parameters = source(folder).parameters
    assert (parameters["layout"], parameters["layout_version"]) == ("magicbrush", "1")


def test_listing_reads_no_picture(tmp_path: Path) -> None:
    published(tmp_path, {"train": [edit("a"), edit("b", 2)]})
    (path,) = (tmp_path / "data").iterdir()
    data = path.read_bytes()
    at = data.index(png(shade=2)) + 40  # inside a picture: its page's checksum fails
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    listed = source(tmp_path)
    items = list(listed.items())
    assert [item.id for item in items] == ["a", "b"]
    with pytest.raises(CorruptError):
        listed.load(items)


def test_rows_are_listed_with_stand_ins_for_their_pictures(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", [{"source": png(), "mask": None, "instruction": "x"}])
    (row,) = stored.rows_without_pictures(tmp_path / "a.parquet")
    assert row == {"source": {"bytes": b"", "path": "source.png"}, "mask": None, "instruction": "x"}


def test_a_row_group_is_read_once_for_a_batch_and_others_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(tmp_path, {"train": [edit(str(at), at) for at in range(9)]}, rows=3)
    data = source(tmp_path)
    items = list(data.items())
    read: list[Any] = []
    real = stored.read_batches

    def counting(*args: Any, **options: Any) -> Any:
        read.append(options.get("groups"))
        return real(*args, **options)

    monkeypatch.setattr(stored, "read_batches", counting)
    outcomes = data.load([items[at] for at in (8, 0, 2)])
    assert [each.samples[0].id for each in outcomes if isinstance(each, Keep)] == ["8", "0", "2"]
    assert read == [[0], [2]]


def test_every_split_comes_under_its_name_or_one_alone(tmp_path: Path) -> None:
    published(tmp_path, {"train": [edit("a")], "heldout": [edit("b", 2)]})
    listed = {item.id: item.split for item in source(tmp_path).items()}
    assert listed == {"a": "train", "b": "heldout"}
    assert names(tmp_path, split="heldout") == ["b"]
    assert len(samples(tmp_path)) == 2


def test_data_without_splits_takes_the_name_that_is_given(tmp_path: Path) -> None:
    folder = magicbrush(tmp_path, {"30": 1})
    assert [item.split for item in source(folder).items()] == ["train"]
    assert [item.split for item in source(folder, split="test").items()] == ["test"]


def test_a_sample_is_exact_repeatable_and_in_the_datas_order(tmp_path: Path) -> None:
    published(tmp_path, {"train": [edit(f"{at:03d}", at % 20) for at in range(60)]})
    drawn = names(tmp_path, sample=20, seed=1)
    assert len(drawn) == 20
    assert drawn == sorted(drawn)
    assert names(tmp_path, sample=20, seed=1) == drawn
    assert names(tmp_path, sample=20, seed=2) != drawn
    assert set(names(tmp_path, sample=10, seed=1)) < set(drawn)
    assert len(names(tmp_path, sample=100)) == 60


def test_a_sample_holds_sessions_from_their_start(tmp_path: Path) -> None:
    folder = magicbrush(tmp_path, {str(number): 1 + number % 4 for number in range(12)})
    for count in range(1, 12):
        drawn = names(folder, sample=count)
        assert len(drawn) == count
        turns: dict[str, list[int]] = {}
        for name in drawn:
            session, _, turn = name.partition("/")
            turns.setdefault(session, []).append(int(turn))
        assert all(each == list(range(1, len(each) + 1)) for each in turns.values())


def test_only_the_named_edits_are_taken_and_absent_ones_are_quarantined(tmp_path: Path) -> None:
    published(tmp_path / "run", {"train": [edit("a"), edit("b", 2), edit("c", 4)]})
    put(tmp_path / "ids.json", json.dumps({"c": [], "gone": [], "a": []}))
    outcomes = loaded(tmp_path / "run", only=tmp_path / "ids.json")
    assert [each.samples[0].id for each in outcomes if isinstance(each, Keep)] == ["a", "c"]
    assert names(tmp_path / "run", only=tmp_path / "ids.json") == ["a", "c", "gone"]
    assert isinstance(outcomes[2], Fail)
    assert outcomes[2].code == "absent"


@pytest.mark.parametrize("text", ["3", "[1]", "{", '{"a": 1, "a": 2}'])
def test_a_file_of_ids_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    published(tmp_path, {"train": [edit("a")]})
    put(tmp_path / "ids.json", text)
    with pytest.raises(RecipeError, match="a file of ids cannot be read"):
        names(tmp_path, only=tmp_path / "ids.json")


def test_a_broken_picture_costs_its_own_edit(tmp_path: Path) -> None:
    rows = [{"file_name": f"{at}.png", "instruction": "darken", "id": str(at)} for at in range(4)]
    for at in range(3):
        put(tmp_path / f"{at}.png", png(shade=at))
    put(tmp_path / "1.png", png()[:300])
    outcomes = loaded(metadata(tmp_path, rows))
    codes = [each.code if isinstance(each, Fail) else "kept" for each in outcomes]
    assert codes == ["kept", "truncated", "kept", "unreadable"]


def test_pictures_of_another_size_get_that_of_the_source_as_asked(tmp_path: Path) -> None:
    mask = np.zeros((18, 24, 3), np.uint8)
    mask[:9] = 255
    half = edit("a", target=Image(png(size=(18, 24))), mask=Image(encode_png(mask)))
    far = edit("b", target=Image(png(size=(24, 24))))
    published(tmp_path, {"train": [half, far]})
    kept, asked = samples(tmp_path, fit="crop")
    for sample, target in ((kept, [18, 24]), (asked, [24, 24])):
        assert sample.target is not None
        assert decode(sample.target.bytes).shape == (36, 48, 3)
        assert sample.provenance is not None
        assert sample.provenance.parameters["resized"]["target"] == target
    assert kept.mask is not None
    assert (decode_mask(kept.mask.bytes).mean(axis=1) == [255] * 18 + [0] * 18).all()
    assert kept.provenance is not None
    assert asked.provenance is not None
    assert "fit" not in kept.provenance.parameters
    assert asked.provenance.parameters["fit"] == "crop"


def test_pictures_of_different_shapes_are_no_edit(tmp_path: Path) -> None:
    smaller = edit("a", target=Image(png(size=(24, 24))))
    (outcome,) = loaded(published(tmp_path, {"train": [smaller]}))
    assert isinstance(outcome, Fail)
    assert outcome.code == "other-size"
    assert "source 48 x 36, target 24 x 24" in outcome.message


def test_a_row_that_changed_since_it_was_listed_is_not_taken(tmp_path: Path) -> None:
    published(tmp_path, {"train": [edit("a"), edit("b", 2), edit("c", 4)]})
    items = list(source(tmp_path).items())
    published(tmp_path, {"train": [edit("a"), edit("other", 2)]})
    kept, other, gone = source(tmp_path).load(items)
    assert isinstance(kept, Keep)
    assert isinstance(other, Fail)
    assert isinstance(gone, Fail)
    assert {other.code, gone.code} == {"row-faulty"}


def test_a_faulty_index_is_refused_with_all_that_is_wrong(tmp_path: Path) -> None:
    put(tmp_path / "a.png", png())
    good = {"file_name": "a.png", "instruction": "darken"}
    with pytest.raises(RecipeError, match="2 problems") as caught:
        names(metadata(tmp_path, [good, {"instruction": "x"}, {**good, "edit": " "}, {"id": "y"}]))
    assert "line 2: it has no source" in str(caught.value)
    assert "line 4" in str(caught.value)


def test_an_edit_without_an_instruction_is_refused(tmp_path: Path) -> None:
    published(tmp_path, {"train": [edit("a", instruction=" ")]})
    with pytest.raises(RecipeError, match="the instruction is empty"):
        names(tmp_path)


def test_a_changed_file_changes_its_items(tmp_path: Path) -> None:
    for folder in (
        published(tmp_path / "table", {"train": [edit("a")]}),
        magicbrush(tmp_path / "files", {"30": 1}),
    ):
        before = list(source(folder).items())
        for path in folder.rglob("*.p*"):
            os.utime(path, ns=(1, 1))
        assert list(source(folder).items()) != before
