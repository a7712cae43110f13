"""Lint with a judge, and the mended data set."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from editloop.cli import app
from editloop.errors import RecipeError, StepError
from editloop.filters.registration import register
from editloop.images.codec import decode, decode_mask, encode_png
from editloop.quality.lint.lint_data import lint_data
from editloop.schema import (
    Cause,
    EditedPair,
    EditSample,
    Image,
    Mask,
    Pixels,
    Score,
    Unscored,
    Verdict,
)
from editloop.storage.samples import arrow_schema, read_samples, to_row
from pair_changes import PHOTOS, displaced

PHOTO = PHOTOS["coffee"][100:292, 150:342]
BOX = (slice(60, 120), slice(60, 120))


class Darkening:
    """Says whether the edit made the picture darker."""

    name = "darkening"
    version = "1"
    perspectives = ("following",)

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        return [{"following": self._score(pair)} for pair in batch]

    def _score(self, pair: EditedPair) -> Score | Unscored:
        if "?" in pair.instruction:
            return Unscored("it refused", cause=Cause.REFUSED)
        if "busy" in pair.instruction:
            return Unscored("busy", cause=Cause.TRANSIENT)
        darker = float(pair.source.mean()) - float(pair.edited.mean())
        return Score(float(np.clip(5 * darker, 0, 5)))


JUDGE = f"python:{__name__}:Darkening"


def image(pixels: Pixels | Mask) -> Image:
    return Image(encode_png(np.ascontiguousarray(pixels)))


def sample(name: str, target: Pixels, source: Pixels = PHOTO, **fields: Any) -> EditSample:
    words = {"instruction": "darken the photo a bit", **fields}
    return EditSample(id=name, source=image(source), target=image(target), **words)


def box(value: int = 255) -> Mask:
    mask = np.full(PHOTO.shape[:2], 255 - value, np.uint8)
    mask[BOX] = value
    return mask


def boxed(change: Pixels, outside: Pixels = PHOTO) -> Pixels:
    made = outside.copy()
    made[BOX] = change[BOX]
    return made


DARK = (PHOTO * 0.7).astype(np.uint8)
TURNED, TURNED_DARK = (np.ascontiguousarray(np.rot90(each, 2)) for each in (PHOTO, DARK))


def written(folder: Path, samples: list[EditSample]) -> Path:
    (folder / "data").mkdir(parents=True)
    table = pa.Table.from_pylist([to_row(each) for each in samples], schema=arrow_schema())
    pq.write_table(table, folder / "data/train-00000-of-00001.parquet")
    return folder


def flipped(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels[:, ::-1])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Edits with one defect each, of sources that no two share."""
    stained = boxed(TURNED_DARK, TURNED)
    stained[10:40, 150:180] //= 3
    cat = PHOTOS["cat"][100:292, 150:342]
    return written(
        tmp_path / "set",
        [
            sample("fine", DARK),
            sample("swapped", np.rot90(PHOTO), np.rot90(DARK)),
            sample("unfit", cat[..., ::-1], cat),  # as bright as before
            sample("unjudged", flipped(DARK), flipped(PHOTO), instruction="is it darker?"),
            sample("shifted", displaced(flipped(DARK), (3.0, -2.0)), flipped(PHOTO)),
            sample("inverted", boxed(DARK), mask=image(box(0))),
            sample("outside", stained, TURNED, mask=image(box())),
            sample("empty", DARK, mask=image(np.zeros(PHOTO.shape[:2], np.uint8)),
                   instruction="darken all of it"),
            sample("placeholder", DARK, instruction="N/A"),
            *(
                sample(f"s/{turn}", DARK, session="s", turn=turn,
                       instruction="N/A" if turn == 2 else f"darken it {turn} times")
                for turn in (1, 2, 3)
            ),
        ],
    )  # fmt: skip


@pytest.mark.slow
def test_a_judge_finds_swapped_pairs_and_unfit_instructions(data: Path, tmp_path: Path) -> None:
    results = lint_data(data, tmp_path / "out", judge=JUDGE)
    found = {(each["id"], each["code"]) for each in results["findings"]}
    assert {each for each in found if each[1] in ("swapped", "unfit-instruction")} == {
        ("swapped", "swapped"),
        ("unfit", "unfit-instruction"),
    }
    assert results["not_judged"] == {"it refused": 1}
    assert set(results["not_looked_for"]) == {"contaminated"}
    assert "it refused" in (tmp_path / "out/lint.html").read_text(encoding="utf-8")


def test_a_verdict_that_may_still_come_is_not_stored_as_missing(tmp_path: Path) -> None:
    data = written(tmp_path / "set", [sample("a", DARK, instruction="busy")])
    with pytest.raises(StepError, match="still missing"):
        lint_data(data, tmp_path / "out", judge=JUDGE)


def test_a_judge_that_does_not_score_following_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Darkening, "perspectives", ("quality",))
    with pytest.raises(RecipeError, match="following"):
        lint_data(data, tmp_path / "out", judge=JUDGE)


@pytest.mark.slow
def test_the_mended_set_has_no_defect_and_accounts_for_all(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["lint", str(data), "--out", str(out), "--judge", JUDGE, "--repair"]
    ended = CliRunner().invoke(app, command)
    assert ended.exit_code == 0, f"{ended.output}\n{ended.exception!r}"
    assert "mended: 8 kept, 4 dropped, 0 quarantined" in ended.output
    mended = {each.id: each for each in read_samples(out / "mended/data", "train")}
    before = {each.id: each for each in read_samples(data / "data", "train")}
    dropped = pq.read_table(out / "mended/rejects/dropped.parquet").to_pylist()
    assert {row["id"]: row["reason"] for row in dropped} == {
        "unfit": "unfit-instruction",
        "placeholder": "placeholder",
        "s/2": "placeholder",
        "s/3": "an earlier turn of its session was dropped",
    }
    assert all(mended[name] == before[name] for name in ("fine", "unjudged", "s/1"))
    swapped, wrong = mended["swapped"], before["swapped"]
    assert (swapped.source, swapped.target) == (wrong.target, wrong.source)
    assert np.array_equal(decode_mask(mended["inverted"].mask.bytes), box())
    assert mended["empty"].mask is None
    assert np.array_equal(decode(mended["outside"].target.bytes), boxed(TURNED_DARK, TURNED))
    straight = mended["shifted"]
    assert register(decode(straight.source.bytes), decode(straight.target.bytes)).largest < 0.5
    again = lint_data(out / "mended", tmp_path / "again", judge=JUDGE)
    assert again["findings"] == []


@pytest.mark.slow
def test_other_findings_make_a_new_version(tmp_path: Path) -> None:
    samples = [sample("a", DARK), sample("b", flipped(DARK), flipped(PHOTO))]
    data = written(tmp_path / "set", samples)
    assert lint_data(data, tmp_path / "out", repair=True)["mended"]["out"] == 2
    worse = [samples[0], replace(samples[1], instruction="N/A")]
    (data / "data/train-00000-of-00001.parquet").unlink()
    (data / "data").rmdir()
    written(data.parent / "set", worse)
    assert lint_data(data, tmp_path / "out", repair=True)["mended"]["out"] == 1
    stored = json.loads((tmp_path / "out/lint.json").read_bytes())
    assert stored["counts"] == {"placeholder": 1}
