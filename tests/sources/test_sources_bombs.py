"""Small files that claim or unfold to gigabytes are read under a limit, one row at a time."""

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from editloop.errors import CorruptError
from editloop.images.codec import encode_png
from editloop.kernel.steps import Fail, Keep, Outcome
from editloop.registry import create
from editloop.sources import stored, stored_arrow, stored_tar
from editloop.sources.files import MAX_BYTES, MAX_LINE, MAX_TEXT
from editloop.storage.parquet import read_rows
from odd_images import smooth

PNG = encode_png(smooth())
LONG = "x" * 20_000_000  # stored once, for ROWS rows: 2 GB as texts
ROWS = 100


def outcomes(folder: Path) -> dict[str, Outcome]:
    """Import a folder as `editloop import` does; return each edit's outcome by its id."""
    source = create("source", "layout", {"path": str(folder), "faults": "quarantine"})
    items = list(source.items())
    return dict(zip([item.id for item in items], source.load(items), strict=True))


def member(name: str, data: bytes, size: int | None = None, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return a file as a tar stores it; its header claims `size` bytes."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(data)
    header = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    if size is not None:
        claimed = tarfile.itn(size, 12, tarfile.GNU_FORMAT)
        header[124:136], header[148:156] = claimed, b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data + b"\0" * (-len(data) % 512)


def sample(key: str, edit: bytes = b"x") -> bytes:
    return member(f"{key}.source.jpg", PNG) + member(f"{key}.edit.txt", edit)


END = b"\0" * 1024


@pytest.mark.parametrize("size", [-1, -512, -1024, -(2**40)])
def test_a_tar_member_of_negative_size_ends(tmp_path: Path, size: int) -> None:
    bad = member("2.source.jpg", b"", size) + member("2.edit.txt", b"x")
    (tmp_path / "a.tar").write_bytes(sample("1") + bad + sample("3") + END)
    found = outcomes(tmp_path)
    assert len(found) == 3
    assert isinstance(found["1"], Keep)
    assert isinstance(found["3"], Keep)
    (fault,) = (each for each in found.values() if isinstance(each, Fail))
    assert "its source claims -" in fault.message


HEADERS = {"a longer name": tarfile.GNUTYPE_LONGNAME, "pax": tarfile.XHDTYPE}


@pytest.mark.parametrize("kind", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("size", [-512, 2**35])
def test_a_header_that_claims_all_memory_is_refused(tmp_path: Path, kind: bytes, size: int) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(member("x", b"", size, kind) + sample("1") + END)
    with pytest.raises(CorruptError, match="a tar file cannot be read"):
        list(stored_tar.all_rows(path))


def test_headers_without_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(member("x", b"name\0", kind=tarfile.GNUTYPE_LONGNAME) * 3000 + END)
    with pytest.raises(CorruptError, match="a tar file cannot be read"):
        list(stored_tar.all_rows(path))


def claiming(path: Path, samples: int, pictures: int) -> None:
    """Write a tar of pictures that each have 250 MB, which are holes and use no disk space."""
    with path.open("wb") as file:
        for at in range(samples):
            for number in range(pictures):
                file.write(member(f"{at}.{number}.jpg", b"", 250_000_000))
                file.seek(250_000_000 + -250_000_000 % 512, io.SEEK_CUR)
            file.write(member(f"{at}.edit.txt", b"x"))
        file.write(END)


def in_memory(code: str, megabytes: int) -> str:
    """Run code in a process of its own and return what it prints; limit the memory that it used."""
    # getrusage would count the memory of the process that started it, too.
    after = "\nimport pathlib, re\nstatus = pathlib.Path('/proc/self/status').read_text()"
    after += "\nprint(int(re.search(r'VmHWM:\\s*(\\d+)', status)[1]) // 1000)"
    run = [sys.executable, "-c", code + after]
    *printed, used = subprocess.run(
        run, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.splitlines()
    assert int(used) < megabytes
    return "\n".join(printed)


LOAD = """
from pathlib import Path
from editloop.kernel.steps import Fail
from editloop.registry import create
source = create("source", "layout", {{"path": {folder!r}, "faults": "quarantine", **{own!r}}})
items = list(source.items())
print(len(items), *sorted({{each.code for each in source.load(items) if isinstance(each, Fail)}}))
"""


@pytest.mark.slow
def test_members_of_250_megabytes_are_read_one_at_a_time(tmp_path: Path) -> None:
    claiming(tmp_path / "a.tar", samples=12, pictures=1)
    own = {"layout": "table", "options": {"map": {"source": "0", "instruction": "edit"}}}
    assert in_memory(LOAD.format(folder=str(tmp_path), own=own), 1000) == "12 not-an-image"


def test_a_sample_is_read_under_a_limit_too(tmp_path: Path) -> None:
    claiming(tmp_path / "a.tar", samples=1, pictures=3)
    (row,) = stored_tar.all_rows(tmp_path / "a.tar")
    assert row == "its 1 claims 250,000,000 bytes, and may have 6,000,000"
    assert MAX_BYTES == 256_000_000


def test_a_sample_of_countless_files_is_refused(tmp_path: Path) -> None:
    parts = (member(f"1.{number}.txt", b"x") for number in range(1002))
    (tmp_path / "a.tar").write_bytes(b"".join(parts) + END)
    (row,) = stored_tar.all_rows(tmp_path / "a.tar")
    assert row == "its 999 is one of more than 1,000 files"


def repeated(value: str | bytes, rows: int = ROWS) -> pa.Array:
    """Return an array in which a dictionary stores the value once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([value]))


def folded(path: Path, **columns: pa.Array) -> Path:
    rows = len(next(iter(columns.values())))
    image = pa.array([{"bytes": PNG, "path": None}] * rows)
    names = {"id": pa.array([f"{at}" for at in range(rows)]), "source": image, "target": image}
    pq.write_table(pa.table({**names, **columns}), path, row_group_size=rows, compression="zstd")
    return path


@pytest.mark.slow
def test_a_dictionary_of_texts_stays_folded(tmp_path: Path) -> None:
    path = folded(tmp_path / "train-00000-of-00001.parquet", instruction=repeated(LONG))
    assert path.stat().st_size < 100_000
    code = LOAD.format(folder=str(tmp_path), own={})
    assert in_memory(code, 1000) == f"{ROWS} row-faulty"


def test_texts_in_lists_stay_folded(tmp_path: Path) -> None:
    texts = repeated(LONG, 400)
    lists = pa.ListArray.from_arrays(pa.array([0, 400], pa.int32()), texts)
    path = folded(tmp_path / "a.parquet", instruction=pa.array(["x"]), more=lists)
    (row,) = stored.all_rows(path)
    assert row == "its more has 20,000,000 bytes"
    with pytest.raises(CorruptError, match="its more has 20,000,000 bytes"):
        list(read_rows(path, what="a data set"))


@pytest.mark.slow
def test_a_dictionary_of_pictures_is_read_row_by_row(tmp_path: Path) -> None:
    picture = repeated(b"\0" * 100_000_000, 20)
    folded(
        tmp_path / "train-00000-of-00001.parquet", instruction=pa.array(["x"] * 20), mask=picture
    )
    code = LOAD.format(folder=str(tmp_path), own={})
    assert in_memory(code, 1500) == "20 not-an-image"


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_batches_of_an_arrow_file_are_measured_first(tmp_path: Path, codec: str) -> None:
    table = pa.table({"edit": ["x" * 300_000_000] * 4})
    for name, write in (("file", pa.ipc.new_file), ("stream", pa.ipc.new_stream)):
        path = tmp_path / f"{name}.arrow"
        with write(
            str(path), table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)
        ) as to:
            to.write_table(table)
        assert path.stat().st_size < 20_000_000
        with pytest.raises(CorruptError, match=r"a record batch unfolds to 1,200,\d+"):
            list(stored_arrow.rows_without_pictures(path))


def test_small_compressed_batches_and_dictionaries_of_an_arrow_file_are_read(
    tmp_path: Path,
) -> None:
    table = pa.table({"edit": repeated("warm", 3), "id": ["1", "2", "3"]})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), table.schema, options=options) as to:
        to.write_table(table)
    for read in (stored_arrow.all_rows, stored_arrow.rows_without_pictures):
        assert [row["edit"] for row in read(tmp_path / "a.arrow")] == ["warm"] * 3


@pytest.mark.slow
def test_a_dictionary_of_an_arrow_file_stays_folded(tmp_path: Path) -> None:
    table = pa.table({"edit": repeated(LONG, 1600)})
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), table.schema) as to:
        to.write_table(table)
    for read in (stored_arrow.all_rows, stored_arrow.rows_without_pictures):
        assert set(read(tmp_path / "a.arrow")) == {"its edit has 20,000,000 bytes"}


def lines(folder: Path, *contents: str) -> Path:
    (folder / "a.png").write_bytes(PNG)
    plain = json.dumps({"id": "whole", "source": "a.png", "target": "a.png", "instruction": "x"})
    (folder / "metadata.jsonl").write_text("\n".join([plain, *contents]))
    return folder


LINES: dict[str, Callable[[], str]] = {
    "a line without end": lambda: '{"id": "' + "x" * (MAX_LINE + 5),
    "deep JSON": lambda: "[" * 1_000_000,
    "a long text": lambda: json.dumps(
        {"id": "2", "source": "a.png", "instruction": "x" * (MAX_TEXT + 1)}
    ),
    "a long text nobody asked for": lambda: json.dumps(
        {"id": "2", "source": "a.png", "instruction": "x", "more": "x" * (MAX_TEXT + 1)}
    ),
    "a list for a text": lambda: json.dumps(
        {"id": "2", "source": "a.png", "instruction": ["x" * 1000] * 1000}
    ),
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_line_is_read_under_a_limit(tmp_path: Path, line: Callable[[], str]) -> None:
    found = outcomes(lines(tmp_path, line()))
    assert isinstance(found.pop("whole"), Keep)
    ((_, fault),) = found.items()
    assert isinstance(fault, Fail)
    assert fault.code == "row-faulty"
    assert len(fault.message) < 1000


def test_captions_beside_pictures_are_read_under_a_limit(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    whole = json.dumps({"file_name": "a.png", "caption": "a wall"})
    (tmp_path / "metadata.jsonl").write_text("x" * (MAX_LINE + 5) + "\n" + whole)
    source = create("source", "folder", {"path": str(tmp_path), "heldout": 0})
    found = source.load(list(source.items()))
    (kept,) = (each.samples[0] for each in found if isinstance(each, Keep))
    (fault,) = (each for each in found if isinstance(each, Fail))
    assert kept.source_caption == "a wall"
    assert fault.message == f"it has more than {MAX_LINE:,} bytes"
