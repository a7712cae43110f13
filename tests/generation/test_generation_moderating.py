"""Moderation by a list: whole words in any text, and what ran is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from editloop.errors import RecipeError
from editloop.kernel.steps import Drop, Keep
from editloop.registry import create
from text_worlds import sample


def test_whole_words_in_any_text_and_case_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("gun\nnaked  man\n")
    step = create("build", "moderate", {"words": str(tmp_path / "words.txt")})
    texts = ["a GUN.", "a gunner, naked; man", "a Naked\tMan there"]
    rows = [sample(str(at), source_caption=text) for at, text in enumerate(texts)]
    found = step.process([*rows, sample("x", inverse_instruction="hide the gun")])
    dropped = [each.reason for each in found if isinstance(each, Drop)]
    assert dropped == [
        "its source_caption has a word of the list",
        "its source_caption has a word of the list",
        "its inverse_instruction has a word of the list",
    ]
    (kept,) = (each.samples[0] for each in found if isinstance(each, Keep))
    assert kept.provenance is not None
    assert kept.provenance.parameters["moderated_by"] == step.parameters["words"]


def test_an_empty_list_moderates_nothing_and_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("\n")
    with pytest.raises(RecipeError, match="a list of words is empty"):
        create("build", "moderate", {"words": str(tmp_path / "words.txt")})
