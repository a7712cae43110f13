"""Rewards outside of their scale are unscored, or mapped by a declared scale, at every door."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from editloop.cli import app
from editloop.errors import RecipeError
from editloop.schema import Cause, EditSample, Json, Score, Unscored
from editloop.sources.import_data import import_data
from editloop.sources.layouts import open_layout
from editloop.sources.scales import number_of, rescaled
from editloop.storage.samples import read_samples
from layout_folders import metadata, png, put

VALUES = [-4, 4, 0, "2.0", -4.5, 7, None, "good", float("nan")]
MAP = {"following": "editreward", "following_text": "why"}


def table(folder: Path, values: list[Json] = VALUES) -> Path:
    put(folder / "a.png", png())
    put(folder / "b.png", png(shade=2))
    row = {"source": "a.png", "target": "b.png", "instruction": "make it dark", "why": "too dark"}
    return metadata(folder, [{**row, "editreward": value} for value in values])


def scores(folder: Path, **options: Json) -> list[Score | Unscored]:
    sessions = open_layout("table", folder, map=MAP, **options).sessions()
    return [sample.scores["following"] for (sample,) in sessions]


def numbers(found: list[Score | Unscored]) -> list[float | None]:
    return [each.value if isinstance(each, Score) else None for each in found]


def test_a_users_rewards_are_read_and_those_off_the_scale_are_unscored(tmp_path: Path) -> None:
    found = scores(table(tmp_path))
    assert numbers(found) == [None, 4.0, 0.0, 2.0, None, None, None, None, None]
    off, outside = found[0], found[5]
    assert isinstance(off, Unscored)
    assert isinstance(outside, Unscored)
    assert (off.reason, off.cause) == ("out of range: -4 is not in 0..5", Cause.OUT_OF_RANGE)
    assert outside.reason == "out of range: 7 is not in 0..5"
    assert isinstance(found[1], Score)
    assert found[1].text == "too dark"


@pytest.mark.parametrize("scale", [[-4, 4], "-4,4", "[-4, 4]"])
def test_a_declared_scale_maps_them_to_0_to_5(tmp_path: Path, scale: Json) -> None:
    found = scores(table(tmp_path), scale=scale)
    assert numbers(found) == [0.0, 5.0, 2.5, 3.75, None, None, None, None, None]
    assert isinstance(found[5], Unscored)
    assert found[5].reason == "out of range: 7 is not in -4..4"


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"map": MAP, "scale": [4, -4]}, "a scale is its lowest and its highest"),
        ({"map": MAP, "scale": [1, 1]}, "a scale is its lowest and its highest"),
        ({"map": MAP, "scale": [0, float("inf")]}, "finite"),
        ({"map": MAP, "scale": "low"}, "scale"),
        ({"scale": [-4, 4]}, "scale has no effect: map following"),
        ({"map": {"folowing": "x"}}, "no field 'folowing': did you mean 'following'"),
    ],
    ids=str,
)
def test_a_scale_that_is_none_or_has_no_effect_is_refused(
    tmp_path: Path, options: dict[str, Json], cause: str
) -> None:
    with pytest.raises(RecipeError, match=cause):
        open_layout("table", table(tmp_path), **options)


def test_a_reward_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="editrewards"):
        list(open_layout("table", table(tmp_path), map={"quality": "editrewards"}).sessions())


def test_a_column_called_quality_is_not_guessed_to_be_a_reward(tmp_path: Path) -> None:
    put(tmp_path / "a.png", png())
    put(tmp_path / "b.png", png(shade=2))
    row = {"source": "a.png", "target": "b.png", "instruction": "darken it", "quality": 80}
    ((sample,),) = open_layout("table", metadata(tmp_path, [row])).sessions()
    assert "quality" not in sample.scores


def test_the_command_imports_rewards_with_their_scale(tmp_path: Path) -> None:
    data, out = table(tmp_path / "set", [-4, 0, 9]), tmp_path / "out"
    named = [word for pair in MAP.items() for word in ("--map", "=".join(pair))]
    command = ["import", "table", str(data), "--out", str(out), *named, "--scale=-4,4"]
    ended = CliRunner().invoke(app, command)
    assert ended.exit_code == 0, ended.output
    found: list[EditSample] = list(read_samples(out / "data", "train"))
    assert numbers([each.scores["following"] for each in found]) == [0.0, 2.5, None]


def test_other_layouts_take_no_scale(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="only table and reward-edit take the scale"):
        import_data("metadata", table(tmp_path / "set"), tmp_path / "out", scale=(-4, 4))


def test_the_ends_of_a_scale_are_on_it() -> None:
    ends = [rescaled(Score(value), (-4.0, 4.0)) for value in (-4.0, 4.0)]
    assert ends == [Score(0.0), Score(5.0)]
    assert [number_of(each) for each in ("-1e0", True, "nan", [])] == [-1.0, None, None, None]
