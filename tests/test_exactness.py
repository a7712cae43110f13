"""The page on what is exact: its checks exist, nothing is left out, no other page claims more."""

import re

import pytest

from document_blocks import ROOT
from editloop.evaluation.protocol.card import listing
from editloop.loop.shipped import shipped_recipes

PAGE = (ROOT / "docs" / "exactness.md").read_text("utf-8")
OTHERS = [
    ROOT / "README.md",
    *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "exactness.md"),
]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
EQUAL = r"\b(equals?|identical|exactly|to the letter|the same (pictures?|numbers?|values?))\b"
PUBLISHED = r"\b(published|released|authors|papers?|diffusers)\b"


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_every_check_that_the_page_names_is_a_test(path: str, name: str) -> None:
    assert re.search(rf"^def {name}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE)


def test_every_file_that_the_page_names_exists() -> None:
    for path in re.findall(r"`((?:tests|benchmarks)/[\w/]+\.py)", PAGE):
        assert (ROOT / path).is_file(), path


def test_every_protocol_and_training_recipe_is_on_the_page() -> None:
    trained = [name for name in shipped_recipes() if name.startswith("train-")]
    for name in [*(card.name for card in listing()), *trained]:
        assert f"`{name}`" in PAGE, name


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_a_claim_of_equality_with_what_is_published_links_to_the_page(path) -> None:
    for text in path.read_text("utf-8").split("\n\n"):
        if text.startswith("```"):
            continue
        for sentence in re.split(r"(?<=[.:])\s", text):
            if re.search(EQUAL, sentence) and re.search(PUBLISHED, sentence):
                assert "exactness.md" in text, sentence
