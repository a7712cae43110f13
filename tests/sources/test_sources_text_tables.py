"""Tables as people have them: texts, one file, paths, base64, lists, addresses."""

import base64
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from editloop.errors import RecipeError
from editloop.schema import EditSample
from editloop.sources import stored
from editloop.sources.layouts import open_layout, splits_of
from layout_folders import parquet, png, put

MAP = {"source": "before", "target": "after", "instruction": "words"}


def read(folder: Path, map: dict[str, str] | None = None, **options: Any) -> list[EditSample]:
    layout = open_layout("table", folder, map=MAP if map is None else map, **options)
    return [sample for session in layout.sessions() for sample in session]


def row(folder: Path, **more: Any) -> dict[str, Any]:
    put(folder / "a.png", png())
    put(folder / "b.png", png(shade=3))
    return {"before": "a.png", "after": "b.png", "words": "darken it,\nplease", **more}


def as_csv(rows: list[dict[str, Any]], mark: str) -> str:
    quoted = [mark.join(f'"{value}"' for value in each.values()) for each in rows]
    return "\ufeff" + "\r\n".join([mark.join(rows[0]), *quoted]) + "\r\n"


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("pairs.csv", lambda rows: as_csv(rows, ",")),
        ("pairs.tsv", lambda rows: as_csv(rows, "\t")),
        ("pairs.json", json.dumps),
        ("pairs.jsonl", lambda rows: "\n".join(map(json.dumps, rows))),
        ("any.ndjson", lambda rows: "\n".join(map(json.dumps, rows))),
    ],
)
@pytest.mark.parametrize("one_file", [True, False])
def test_a_table_as_text_is_read_from_its_folder_or_alone(
    tmp_path: Path, name: str, written: Any, one_file: bool
) -> None:
    put(tmp_path / name, written([row(tmp_path, turn="1"), row(tmp_path, turn="1")]))
    first, second = read(tmp_path / name if one_file else tmp_path)
    assert (first.id, second.id) == ("000000", "000001")
    assert first.instruction.replace("\r", "") == "darken it,\nplease"
    assert first.source is not None
    assert first.target is not None
    assert (first.source.bytes, first.target.bytes) == (png(), png(shade=3))


def test_a_faulty_row_of_a_csv_costs_only_itself(tmp_path: Path) -> None:
    put(tmp_path / "a.csv", as_csv([row(tmp_path)], ",") + "a.png,b.png,x,more\n")
    (problem,) = open_layout("table", tmp_path, map=MAP).problems()
    assert problem.cause == "it has more cells than there are columns"
    assert problem.costs == "edit"


def test_tables_named_by_split_are_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        put(tmp_path / f"{split}.csv", as_csv([row(tmp_path)], ","))
    assert splits_of("table", tmp_path) == ["test", "train"]
    assert len(read(tmp_path, split="test")) == 1


@pytest.mark.parametrize(
    "name", ["default/train/0000.parquet", "data/train/a.parquet", "train/a.parquet"]
)
def test_parquet_is_found_where_the_hub_puts_it(tmp_path: Path, name: str) -> None:
    parquet(tmp_path / name, [row(tmp_path, before=png(), after=png(shade=3))])
    assert splits_of("table", tmp_path) == ["train"]
    assert len(read(tmp_path)) == 1


def test_several_configurations_are_not_merged(tmp_path: Path) -> None:
    for name in ("cn", "en"):
        parquet(tmp_path / name / "train/0000.parquet", [row(tmp_path, before=png())])
    (problem,) = open_layout("table", tmp_path, map=MAP).problems()
    assert problem.cause == "it contains several configurations: cn, en"


def test_a_users_table_may_name_pictures_anywhere_and_other_sets_may_not(tmp_path: Path) -> None:
    edit = row(tmp_path / "pictures")
    edit["before"] = str(tmp_path / "pictures/a.png")
    edit["after"] = "../pictures/b.png"
    put(tmp_path / "set/pairs.jsonl", json.dumps(edit))
    assert len(read(tmp_path / "set")) == 1
    put(tmp_path / "set/pairs.jsonl", json.dumps({"source": edit["before"], "edit": "x"}))
    (problem,) = open_layout("metadata", tmp_path / "set").problems()
    assert "names no file below the folder" in problem.cause


def test_image_columns_with_paths_only_are_followed(tmp_path: Path) -> None:
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    edit = row(tmp_path)
    columns = {
        name: pa.array([{"bytes": None, "path": str(tmp_path / edit[name])}], image)
        for name in ("before", "after")
    }
    (tmp_path / "data").mkdir()
    table = pa.table({**columns, "words": ["x"]})
    pq.write_table(table, tmp_path / "data/train-00000-of-00001.parquet")
    (sample,) = read(tmp_path)
    assert sample.target is not None
    assert sample.target.bytes == png(shade=3)


@pytest.mark.parametrize("start", ["", "data:image/png;base64,"])
def test_pictures_in_base64_are_read(tmp_path: Path, start: str) -> None:
    code = {name: start + base64.b64encode(data).decode() for name, data in PAIR.items()}
    put(tmp_path / "a.jsonl", json.dumps({**code, "words": "x", "other": code["before"]}))
    (sample,) = read(tmp_path, {**MAP, "source": "before"})
    assert sample.source is not None
    assert sample.source.bytes == png()
    assert sample.provenance is not None
    assert sample.provenance.parameters == {}  # an unmapped picture is not kept as text


PAIR = {"before": png(), "after": png(shade=3)}


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("words[0]", ["short", "long"], "short"),
        ("words[-1]", ["short", "long"], "long"),
        ("words.instruction", {"instruction": "nested"}, "nested"),
        ("words[0].text", [{"text": "deep"}], "deep"),
        ("words[0]", '["from a cell", "b"]', "from a cell"),
    ],
)
def test_items_of_lists_and_nested_fields_are_columns(
    tmp_path: Path, column: str, value: Any, words: str
) -> None:
    parquet(tmp_path / "a.parquet", [{**PAIR, "words": value}])
    (sample,) = read(tmp_path, {**MAP, "instruction": column})
    assert sample.instruction == words


def test_a_list_of_instructions_for_one_target_is_refused_with_the_way(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", [{**PAIR, "words": ["short", "long"]}])
    (problem,) = open_layout("table", tmp_path, map=MAP).problems()
    assert "--map instruction=words[0]" in problem.cause


def test_a_row_of_lists_is_a_session(tmp_path: Path) -> None:
    targets = [{"bytes": png(shade=at), "path": None} for at in (1, 2)]
    edit = {"before": png(), "after": targets, "words": ["darken", "darken more"], "id": "s"}
    parquet(tmp_path / "a.parquet", [edit, {**edit, "id": "t"}])
    found = read(tmp_path)
    assert [sample.id for sample in found] == ["s/1", "s/2", "t/1", "t/2"]
    second = found[1]
    assert second.source is found[0].target
    assert (second.session, second.turn, second.parent_id) == ("s", 2, "s/1")
    assert second.instruction == "darken more"


def test_addresses_are_refused_with_their_count_and_the_way(tmp_path: Path) -> None:
    edit = {"before": "https://a.b/c.png", "after": "https://a.b/d.png", "words": "x"}
    put(tmp_path / "a.csv", as_csv([edit, edit, row(tmp_path)], ","))
    (problem,) = open_layout("table", tmp_path, map=MAP).problems()
    assert problem.cause.startswith("2 of 3 rows have no picture: its source is the address of")
    assert "img2dataset" in problem.fix
    assert problem.costs == "set"


def test_references_are_kept_from_one_or_several_columns(tmp_path: Path) -> None:
    edit = {**PAIR, "words": "x", "one": png(shade=5), "two": png(shade=6)}
    parquet(tmp_path / "a.parquet", [edit])
    (sample,) = read(tmp_path, {**MAP, "references": "one,two"})
    assert [each.bytes for each in sample.references] == [png(shade=5), png(shade=6)]


def test_unmapped_heavy_columns_are_not_read(tmp_path: Path) -> None:
    """A latent or a further picture is not even looked at: its pages may be damaged."""
    path = tmp_path / "a.parquet"
    heavy = [float(at) for at in range(5000)]
    parquet(path, [{**PAIR, "words": "x", "latent": heavy, "n": 3}])
    rows = list(stored.all_rows(path, {"before", "after", "words"}))
    assert [row["latent"] for row in rows if isinstance(row, dict)] == [None]
    data = bytearray(path.read_bytes())
    facts = pq.ParquetFile(path).metadata.row_group(0)
    columns = [facts.column(at) for at in range(facts.num_columns)]
    (latent,) = [each for each in columns if each.path_in_schema.startswith("latent")]
    start = latent.dictionary_page_offset or latent.data_page_offset
    data[start : start + latent.total_compressed_size] = b"\0" * latent.total_compressed_size
    path.write_bytes(data)
    (sample,) = read(tmp_path)
    assert sample.provenance is not None
    assert sample.provenance.parameters == {"n": 3}


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "a.png", png())
    with pytest.raises(RecipeError, match="this file is not a table"):
        open_layout("table", tmp_path / "a.png")
