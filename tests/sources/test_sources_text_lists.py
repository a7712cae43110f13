"""Text-first sources: triplets and captions, in every kind of file, with every row accounted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from editloop.errors import RecipeError, StepError
from editloop.kernel.build import Options, build
from editloop.kernel.steps import Fail, Keep
from editloop.kernel.tasks import StepSpec
from editloop.registry import create
from editloop.schema import EditSample

ROW = {"input": "a cat on a sofa", "edit": "make it a dog", "output": "a dog on a sofa"}


def loaded(kind: str, path: Path, **settings: Any) -> list[EditSample | str]:
    source = create("source", kind, {"path": str(path), **settings})
    found: list[EditSample | str] = []
    for outcome in source.load(list(source.items())):
        assert isinstance(outcome, Keep | Fail)
        found.append(outcome.samples[0] if isinstance(outcome, Keep) else outcome.message)
    return found


def jsonl(path: Path, *rows: Any) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_triplets_of_a_jsonl_become_samples_without_pictures(tmp_path: Path) -> None:
    inverse = {**ROW, "id": "own/1", "inverse": "make it a cat", "url": "kept apart"}
    plain, named = loaded("triplets", jsonl(tmp_path / "a.jsonl", ROW, inverse), licence="CC0")
    assert isinstance(plain, EditSample)
    assert isinstance(named, EditSample)
    assert (plain.id, plain.source, plain.target) == ("triplets/0000001", None, None)
    assert (plain.source_caption, plain.instruction, plain.target_caption) == tuple(ROW.values())
    assert plain.provenance is not None
    assert (plain.provenance.licence, plain.provenance.source_uri) == ("CC0", "a.jsonl:1")
    assert (named.id, named.inverse_instruction) == ("own/1", "make it a cat")


def test_csv_and_tables_give_the_same_triplets(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('edit,input,output\nmake it a dog,"a cat, on a sofa",a dog\n')
    row = {"edit": "make it a dog", "input": "a cat, on a sofa", "output": "a dog"}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    texts = [
        (each.source_caption, each.instruction)
        for name in ("a.csv", "a.parquet")
        for each in loaded("triplets", tmp_path / name)
        if isinstance(each, EditSample)
    ]
    assert texts == [("a cat, on a sofa", "make it a dog")] * 2


def test_a_row_that_cannot_be_used_costs_itself_alone(tmp_path: Path) -> None:
    rows = [ROW, "{", {**ROW, "edit": " "}, {**ROW, "output": 5}, "[1]", {**ROW, "input": "\ud83d"}]
    first, *faults = loaded("triplets", jsonl(tmp_path / "a.jsonl", *rows))
    assert isinstance(first, EditSample)
    wanted = [
        "line 2: it is not JSON",
        "has no 'edit'",
        "'output' is not a text: 5",
        "not an object",
    ]
    assert all(text in str(fault) for text, fault in zip([*wanted, "half"], faults, strict=True))


def test_every_kind_of_table_is_read_and_a_faulty_row_costs_itself(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([ROW, "x", ROW]))
    jsonl(tmp_path / "a.NDJSON", ROW, '"x"', ROW)
    cells = "\t".join(ROW.values())
    columns = "\t".join(ROW)
    (tmp_path / "a.TSV").write_text(f"{columns}\n{cells}\n{cells}\tx\n{cells}\n")
    for name, fault in {
        "a.json": "item 1: no mapping",
        "a.NDJSON": "line 2: no mapping",
        "a.TSV": "line 3: it has more cells than there are columns",
    }.items():
        first, wrong, last = loaded("triplets", tmp_path / name)
        assert isinstance(first, EditSample)
        assert isinstance(last, EditSample)
        assert str(wrong).startswith(fault)


@pytest.mark.parametrize(
    ("name", "text", "cause"),
    [
        ("a.csv", "input,edti,output\na,b,c\n", "there is no column 'edit'"),
        ("a.jsonl", json.dumps({**ROW, "invers": "x"}), "misnamed: 'invers'"),
        ("a.jsonl", f"{json.dumps({**ROW, 'id': 'a'})}\n" * 2, "line 2: the id 'a' is used twice"),
        ("a.jsonl", "\n", "empty"),
        ("a.docx", "x", "not a file of texts"),
    ],
)
def test_a_file_that_would_be_misread_is_refused(
    tmp_path: Path, name: str, text: str, cause: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(RecipeError, match=cause):
        loaded("triplets", tmp_path / name)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file"):
        loaded("captions", tmp_path / "none.txt")


def test_captions_are_lines_or_a_column(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a cat\n\n a dog \n")
    (tmp_path / "a.csv").write_text("url,long\nx,a cat\ny,a dog\n")
    jsonl(tmp_path / "a.jsonl", {"caption": "a cat"}, {"caption": "a dog"})
    given: list[tuple[str, dict[str, str]]] = [("a.txt", {}), ("a.jsonl", {})]
    for name, settings in [*given, ("a.csv", {"column": "long"})]:
        found = loaded("captions", tmp_path / name, **settings)
        texts = [each.source_caption for each in found if isinstance(each, EditSample)]
        assert texts == ["a cat", "a dog"]


def test_an_unclear_column_of_captions_is_refused(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", {"caption": "a", "text": "b"})
    for settings in ({}, {"column": "captoin"}):
        with pytest.raises(RecipeError, match="not clear which column"):
            loaded("captions", tmp_path / "a.jsonl", **settings)


def test_texts_alone_are_not_published(tmp_path: Path) -> None:
    path = str(jsonl(tmp_path / "a.jsonl", ROW))
    texts = StepSpec("source", "texts", "triplets", {"path": path})
    with pytest.raises(StepError, match="without a source picture cannot be published"):
        build([texts], [], out=tmp_path / "out", options=Options(workers=0))
    assert not (tmp_path / "out" / "data").exists()
