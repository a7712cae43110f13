import json
from pathlib import Path
from typing import Any

import pytest

from editloop.errors import FailureClass
from editloop.kernel.steps import Fail, Keep
from editloop.registry import create
from odd_images import saved, smooth

PICTURE = saved(smooth(), "PNG")


def answers(root: Path, **settings: Any) -> dict[str, str | tuple[str] | None]:
    """Return, by id, the caption, or the failure's code in a tuple."""
    source = create("source", "folder", {"path": str(root), **settings})
    items = list(source.items())
    made = {}
    for item, outcome in zip(items, source.load(items), strict=True):
        name = item.id.removeprefix("folder/")
        if isinstance(outcome, Fail):
            assert outcome.failure is FailureClass.PERMANENT
            assert outcome.message
            made[name] = (outcome.code,)
        else:
            assert isinstance(outcome, Keep)
            made[name] = outcome.samples[0].source_caption
    return made


def put(root: Path, **files: str | bytes) -> None:
    (root / "a.png").write_bytes(PICTURE)
    for suffix, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (root / f"a.{suffix}").write_bytes(data)


def lines(root: Path, *entries: Any) -> None:
    """Write a metadata.jsonl of these entries; text is written unchanged."""
    root.mkdir(parents=True, exist_ok=True)
    rows = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    (root / "metadata.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


def pictures(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PICTURE)


@pytest.mark.parametrize(
    ("files", "caption"),
    [
        ({}, None),
        ({"txt": "a cat\n"}, "a cat"),
        ({"txt": ""}, None),
        ({"txt": "\ufeffa cat"}, "a cat"),
        ({"txt": "cafe\u0301 \u05d0\U0001f600\0!"}, "cafe\u0301 \u05d0\U0001f600\0!"),
        ({"json": '{"caption": "a cat"}'}, "a cat"),
        ({"json": '{"text": "a cat", "id": 3}'}, "a cat"),
        ({"json": '{"caption": "a cat", "text": "a dog"}'}, "a cat"),
        ({"json": '{"id": 3}'}, None),
        ({"txt": "a cat", "json": '{"text": "a dog"}'}, "a cat"),
    ],
)
def test_side_cars_caption_their_picture(
    tmp_path: Path, files: dict[str, str], caption: str | None
) -> None:
    put(tmp_path, **files)
    assert answers(tmp_path) == {"a.png": caption}


@pytest.mark.parametrize(
    "files",
    [
        {"txt": b"caf\xe9"},
        {"txt": "x" * 1_000_001},
        {"json": "{"},
        {"json": "[1]"},
        {"json": '{"caption": 3}'},
        {"json": '{"caption": "\\ud800"}'},
        {"json": "[" * 100_000},
    ],
)
def test_a_broken_side_car_fails_its_picture(tmp_path: Path, files: dict[str, str | bytes]) -> None:
    put(tmp_path, **files)
    pictures(tmp_path, "b.png")
    assert answers(tmp_path) == {"a.png": ("caption-unreadable",), "b.png": None}


def test_metadata_captions_pictures_beside_and_below_it(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "sub/b.png", "c.png", "d.png")
    lines(
        tmp_path,
        {"file_name": "a.png", "caption": "a cat"},
        "",
        {"file_name": "./sub/b.png", "text": "a dog"},
        {"file_name": "d.png", "label": 3},
    )
    assert answers(tmp_path) == {
        "a.png": "a cat",
        "c.png": None,
        "d.png": None,
        "sub/b.png": "a dog",
    }


def test_the_nearest_metadata_counts_and_a_side_car_before_it(tmp_path: Path) -> None:
    pictures(tmp_path, "sub/a.png", "sub/b.png")
    lines(
        tmp_path,
        {"file_name": "sub/a.png", "text": "far"},
        {"file_name": "sub/b.png", "text": "far"},
    )
    lines(tmp_path / "sub", {"file_name": "a.png", "text": "near"})
    (tmp_path / "sub/b.txt").write_text("beside")
    assert answers(tmp_path) == {"sub/a.png": "near", "sub/b.png": "beside"}


def test_every_bad_line_of_metadata_is_quarantined_by_its_number(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b.png")
    (tmp_path / "notes.md").write_text("no picture")
    lines(
        tmp_path,
        {"file_name": "a.png", "text": "a cat"},
        "{",
        {"text": "a caption for nothing"},
        '["a.png"]',
        {"file_name": "absent.png", "text": "x"},
        {"file_name": "notes.md", "text": "x"},
        {"file_name": "../a.png", "text": "x"},
        {"file_name": "\0.png", "text": "x"},
        {"file_name": "a.png", "text": "again"},
        {"file_name": "b.png", "text": 3},
    )
    assert answers(tmp_path) == {
        "metadata.jsonl#2": ("metadata-unreadable",),
        "metadata.jsonl#3": ("metadata-unreadable",),
        "metadata.jsonl#4": ("metadata-unreadable",),
        "metadata.jsonl#5": ("picture-missing",),
        "metadata.jsonl#6": ("picture-missing",),
        "metadata.jsonl#7": ("picture-missing",),
        "metadata.jsonl#8": ("picture-missing",),
        "metadata.jsonl#9": ("caption-twice",),
        "a.png": "a cat",
        "b.png": ("caption-unreadable",),
    }


def test_bad_lines_are_listed_whatever_the_patterns_and_the_split(tmp_path: Path) -> None:
    pictures(tmp_path, "train/a.png")
    lines(tmp_path, "{")
    made = answers(tmp_path, include=["*.png"], split="folder")
    assert made == {"metadata.jsonl#1": ("metadata-unreadable",), "train/a.png": None}


def test_a_changed_line_of_metadata_changes_its_item(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    made = []
    for caption in ("a cat", "a dog"):
        lines(tmp_path, {"file_name": "a.png", "text": caption})
        source = create("source", "folder", {"path": str(tmp_path)})
        made.append([item.parameters for item in source.items()])
    assert made[0] != made[1]
