"""Lint: planted defects are found, and nothing else."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from editloop import run
from editloop.cli import app
from editloop.images.codec import decode, encode_jpeg, encode_png
from editloop.quality.lint.lint_data import lint_data
from editloop.quality.lint.texts import cut_off, is_placeholder
from editloop.schema import EditSample, EditType, Image, Pixels
from editloop.storage.samples import arrow_schema, read_samples, to_row
from pair_changes import displaced

RECIPE = """
name: clean
sources: [{kind: photos, size: 192, train: 0, heldout: 64}]
build: [{kind: darkroom}]
"""


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> list[EditSample]:
    """Clean darkroom edits of 192 pixels."""
    folder = tmp_path_factory.mktemp("clean")
    recipe = folder / "clean.yaml"
    recipe.write_text(RECIPE)
    run(recipe, folder / "run")
    return list(read_samples(folder / "run" / "data", "heldout"))


def written(folder: Path, samples: list[EditSample]) -> Path:
    table = pa.Table.from_pylist([to_row(each) for each in samples], schema=arrow_schema())
    data = folder / "data"
    data.mkdir(parents=True)
    pq.write_table(table, data / "train-00000-of-00001.parquet")
    return folder


def target(change: Callable[[Pixels, Pixels], Pixels]) -> Callable[[EditSample], EditSample]:
    """Return a defect that makes a new target from the pixels of source and target."""

    def planted(sample: EditSample) -> EditSample:
        assert sample.source is not None
        assert sample.target is not None
        pixels = change(decode(sample.source.bytes), decode(sample.target.bytes))
        return replace(sample, target=Image(encode_png(pixels)))

    return planted


def whole_mask(value: int) -> Image:
    return Image(encode_png(np.full((192, 192), value, np.uint8)))


def patched(sample: EditSample, *, allowed: bool, also_outside: bool) -> EditSample:
    """Return an edit of a square in the middle, with a mask of that square or of all else."""
    assert sample.source is not None
    source = decode(sample.source.bytes)
    square = np.zeros(source.shape[:2], bool)
    square[60:120, 60:120] = True
    edited = np.where(square[..., None], 255 - source, source)
    if also_outside:
        edited[10:40, 150:180] = 255 - edited[10:40, 150:180]
    mask = (square if allowed else ~square).astype(np.uint8) * 255
    return replace(sample, target=Image(encode_png(edited)), mask=Image(encode_png(mask)))


DEFECTS: dict[str, Callable[[EditSample], EditSample]] = {
    "unchanged": target(lambda source, _: decode(encode_jpeg(source, 85))),
    "shifted": target(lambda _, edited: displaced(edited, (1.5, -1.0))),
    "zoomed": target(lambda _, edited: displaced(edited, scale=(1.02, 1.02))),
    "aspect": target(lambda _, edited: cv2.resize(edited, (220, 192))),
    "mask-empty": lambda sample: replace(sample, mask=whole_mask(0)),
    "outside-mask": lambda sample: patched(sample, allowed=True, also_outside=True),
    "mask-inverted": lambda sample: patched(sample, allowed=False, also_outside=False),
    "same-captions": lambda sample: replace(
        sample, instruction="make it night", source_caption="A dog.", target_caption="a dog"
    ),
    "placeholder": lambda sample: replace(sample, instruction="N/A"),
    "cut-instruction": lambda sample: replace(sample, instruction="turn the hat into a"),
    "small": lambda sample: replace(
        sample,
        source=Image(encode_png(np.zeros((24, 24, 3), np.uint8))),
        target=Image(encode_png(np.full((24, 24, 3), 200, np.uint8))),
        mask=None,
    ),
    "unreadable": lambda sample: replace(sample, target=Image(b"\xff\xd8\xffnothing")),
}


@pytest.mark.slow
def test_every_planted_defect_is_found_and_clean_edits_are_not_accused(
    clean: list[EditSample], tmp_path: Path
) -> None:
    planted = {}
    # New backgrounds and some styles leave too little of the source to see a displacement by.
    hard = (EditType.BACKGROUND, EditType.STYLE)
    samples = sorted(clean, key=lambda each: each.edit_type in hard)
    for at, (code, defect) in enumerate(DEFECTS.items()):
        for index in (at, at + len(DEFECTS)):
            samples[index] = defect(samples[index])
            planted[samples[index].id] = code
    samples.append(replace(samples[40], id="again"))
    again = samples[41]
    assert again.target is not None
    coded = Image(encode_jpeg(decode(again.target.bytes), 90))
    samples.append(replace(again, id="nearly-again", target=coded))
    planted |= {"again": "duplicate", "nearly-again": "near-duplicate"}
    results = lint_data(written(tmp_path / "set", samples), tmp_path / "out")
    found = {(each["id"], each["code"]) for each in results["findings"]}
    assert set(planted.items()) - found == set()
    assert {each for each in found if each[0] not in planted} == set()
    assert "swapped" in results["not_looked_for"]
    page = (tmp_path / "out" / "lint.html").read_text()
    assert all(f'id="{code}"' in page for code in DEFECTS if code != "unreadable")


def test_contamination_is_looked_for_where_a_test_set_is_given(
    clean: list[EditSample], tmp_path: Path
) -> None:
    data = written(tmp_path / "set", clean[:3])
    test = written(tmp_path / "test", clean[2:3])
    results = lint_data(data, tmp_path / "out", against=[f"bench=published:{test}"])
    contaminated = [each for each in results["findings"] if each["code"] == "contaminated"]
    assert [each["id"] for each in contaminated] == [clean[2].id]
    assert contaminated[0]["message"].endswith("bench (instruction, source, target)")
    assert "contaminated" not in results["not_looked_for"]


def test_the_command_prints_counts_and_writes_json(clean: list[EditSample], tmp_path: Path) -> None:
    samples = [clean[0], replace(clean[1], instruction="{instruction}")]
    data = written(tmp_path / "set", samples)
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["lint", str(data), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "placeholder" in result.output
    assert json.loads((out / "lint.json").read_text())["counts"] == {"placeholder": 1}


@pytest.mark.slow
def test_what_the_layout_rejects_is_told_beside_other_findings(
    clean: list[EditSample], tmp_path: Path
) -> None:
    """A mask of another shape, in a sample whose instruction is a placeholder; an id used twice."""
    wide = Image(encode_png(np.full((64, 300), 255, np.uint8)))
    samples = [
        replace(clean[0], instruction="N/A", mask=wide),
        clean[1],
        replace(clean[2], id=clean[1].id),
    ]
    found = lint_data(written(tmp_path / "set", samples), tmp_path / "out")["findings"]
    assert {(each["id"], each["code"]) for each in found} == {
        (clean[0].id, "placeholder"),
        (clean[0].id, "faulty"),
        (clean[1].id, "faulty"),
    }


@pytest.mark.parametrize(
    "text", ["none", "N/A", "  ", "<object>", "add {thing}", "Lorem ipsum dolor"]
)
def test_placeholders(text: str) -> None:
    assert is_placeholder(text)


@pytest.mark.parametrize(
    "text", ["add a text that says none", "remove the string", "make it a 3 < 5 sign"]
)
def test_texts_that_are_no_placeholders(text: str) -> None:
    assert not is_placeholder(text)


@pytest.mark.parametrize(
    "text", ["replace the hat with", "add a dog and", "make the sky...", "word " * 70, "add a red,"]
)
def test_instructions_that_are_cut_off(text: str) -> None:
    assert cut_off(text)


@pytest.mark.parametrize("text", ["let mist roll in", "turn the lights on", "make it night."])
def test_instructions_that_are_whole(text: str) -> None:
    assert not cut_off(text)
