"""InstructPix2Pix's folders of pairs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from editloop.errors import RecipeError
from editloop.schema import EditSample, Json
from editloop.sources.layout_source import LayoutSource
from editloop.sources.layouts import layout_of, open_layout
from layout_folders import jpeg, put
from published_folders import instruct_pix2pix_rows

PROMPT = {"input": "a cat", "edit": "make it a dog", "output": "a dog"}


def pairs(root: Path, folders: Mapping[str, Sequence[str]], prompt: Json = None) -> Path:
    """Create folders with these seeds' pairs."""
    for name, seeds in folders.items():
        put(root / name / "prompt.json", json.dumps(PROMPT if prompt is None else prompt))
        for seed in seeds:
            put(root / name / f"{seed}_0.jpg", jpeg())
            put(root / name / f"{seed}_1.jpg", jpeg("coffee"))
    return root


def read(folder: Path, **options: Json) -> list[EditSample]:
    return [sample for (sample,) in open_layout("instruct-pix2pix", folder, **options).sessions()]


def wrong(folder: Path) -> list[str]:
    layout = open_layout("instruct-pix2pix", folder)
    return [f"{it.where}: {it.cause}" for it in layout.problems()]


def test_a_folder_of_one_pair_is_an_edit_of_its_name(tmp_path: Path) -> None:
    (sample,) = read(pairs(tmp_path, {"0000017": ["52"]}))
    assert (sample.id, sample.instruction) == ("0000017", "make it a dog")
    assert (sample.source_caption, sample.target_caption) == ("a cat", "a dog")
    assert sample.target is not None
    assert (sample.source.bytes, sample.target.bytes) == (jpeg(), jpeg("coffee"))


def test_several_pairs_are_told_apart_by_their_seeds(tmp_path: Path) -> None:
    assert [each.id for each in read(pairs(tmp_path, {"shard-00/3": ["9", "10"]}))] == [
        "shard-00/3/10",
        "shard-00/3/9",
    ]


def test_the_list_of_seeds_says_which_pairs_belong(tmp_path: Path) -> None:
    pairs(tmp_path, {"1": ["5", "6"], "2": ["7"]})
    put(tmp_path / "seeds.json", json.dumps([["2", [7]], ["1", ["6"]]]))
    assert [each.id for each in read(tmp_path)] == ["2", "1"]


def test_of_several_instructions_the_first_counts(tmp_path: Path) -> None:
    (sample,) = read(pairs(tmp_path, {"1": ["5"]}, {"edit": ["one", "two"], "caption": "a cat"}))
    assert (sample.instruction, sample.source_caption) == ("one", "a cat")


def test_a_missing_picture_is_a_problem(tmp_path: Path) -> None:
    pairs(tmp_path, {"1": ["5"]})
    (tmp_path / "1/5_1.jpg").unlink()
    assert wrong(tmp_path) == ["1 target (1/5_1.jpg): the file is missing"]


@pytest.mark.parametrize(
    ("seeds", "cause"),
    [
        ({"1": ["5"]}, "seeds.json: the file does not contain a list"),
        ([["1"]], "seeds.json item 0: it is not a folder with a list of seeds"),
        ([["1", []]], "seeds.json item 0: it is not a folder with a list of seeds"),
        ([["../1", ["5"]]], "seeds.json item 0: it is not a folder with a list of seeds"),
        ([["2", ["5"]]], "2/prompt.json: the index file is missing"),
    ],
)
def test_a_faulty_list_of_seeds_is_a_problem(tmp_path: Path, seeds: Json, cause: str) -> None:
    put(pairs(tmp_path, {"1": ["5"]}) / "seeds.json", json.dumps(seeds))
    assert wrong(tmp_path)[0] == cause


def test_a_prompt_without_an_edit_is_a_problem(tmp_path: Path) -> None:
    assert wrong(pairs(tmp_path, {"1": ["5"]}, {"edit": 3})) == ["1/prompt.json: it has no `edit`"]


def test_a_folder_without_pictures_is_a_problem(tmp_path: Path) -> None:
    assert wrong(pairs(tmp_path, {"1": []})) == [f"{tmp_path}: no prompt.json with pictures"]


def test_a_prompt_that_kept_no_pair_is_passed_over(tmp_path: Path) -> None:
    pairs(tmp_path, {"1": ["5"], "2": [], "3": ["6"]})
    assert [sample.id for sample in read(tmp_path)] == ["1", "3"]
    assert layout_of(tmp_path) == "instruct-pix2pix"


def test_the_authors_splits_are_shares_of_the_prompts_in_order(tmp_path: Path) -> None:
    pairs(tmp_path, {f"{at:02}": ["5", "6"] for at in range(40)})
    found = {
        split: {sample.id.partition("/")[0] for sample in read(tmp_path, split=split)}
        for split in ("train", "val", "test")
    }
    assert {split: len(prompts) for split, prompts in found.items()} == {
        "train": 36,
        "val": 2,
        "test": 2,
    }
    assert found["test"] == {"38", "39"}
    source = LayoutSource(LayoutSource.Settings(path=tmp_path, split="test"))
    assert {item.split for item in source.items()} == {"test"}
    assert len(list(source.items())) == 4
    with pytest.raises(RecipeError, match="unknown split"):
        read(tmp_path, split="tset")
    with pytest.raises(RecipeError, match="unknown split"):
        list(LayoutSource(LayoutSource.Settings(path=tmp_path, split="tset")).items())


def test_one_pair_of_each_prompt_is_a_random_one(tmp_path: Path) -> None:
    pairs(tmp_path, {f"{at:02}": ["5", "6", "7"] for at in range(12)})
    drawn = [[sample.id for sample in read(tmp_path, pairs="one", seed=seed)] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [name.partition("/")[0] for name in drawn[0]] == [f"{at:02}" for at in range(12)]
    assert {name.partition("/")[2] for name in drawn[0]} == {"5", "6", "7"}


def test_one_pair_of_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="do not tell which pairs are of one prompt"):
        open_layout("instruct-pix2pix", instruct_pix2pix_rows(tmp_path), pairs="one")


def test_the_digest_changes_with_a_prompt(tmp_path: Path) -> None:
    pairs(tmp_path, {"1": ["5"]})
    before = open_layout("instruct-pix2pix", tmp_path).digest()
    put(tmp_path / "1/prompt.json", json.dumps({**PROMPT, "edit": "make it a fox"}))
    assert open_layout("instruct-pix2pix", tmp_path).digest() != before
