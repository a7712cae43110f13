"""Hashes of a test set's texts and pictures, and their lists."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from editloop.errors import RecipeError
from editloop.images.codec import decode, encode_jpeg, encode_png, resize
from editloop.schema import EditSample, Image, Pixels
from editloop.sources.against import hash_folder
from editloop.sources.hashes import (
    HashList,
    hash_samples,
    perceptual_hash,
    picture_hash,
    read_hashes,
    text_hash,
    write_hashes,
)
from editloop.sources.scenes import SCENES, photo
from layout_folders import jpeg, png, put
from published_folders import hq_edit_rows


@pytest.mark.parametrize(
    "text", ["Make it dark.", "  make it\tDARK", "MAKE IT DARK!", "make it ｄａｒｋ"]
)
def test_case_spaces_and_punctuation_do_not_matter(text: str) -> None:
    assert text_hash(text) == text_hash("make it dark")


def test_other_words_and_accents_have_another_hash() -> None:
    texts = ["make it dark", "make it darker", "máke it dark", "移除猫", "🚀"]
    assert len({text_hash(text) for text in texts}) == len(texts)


def test_equal_pixels_have_one_hash_however_they_are_encoded() -> None:
    pixels = decode(jpeg())
    assert picture_hash(Image(encode_png(pixels))) == picture_hash(Image(jpeg()))
    flat = np.zeros((4, 6, 3), np.uint8)
    turned = flat.reshape(6, 4, 3)
    hashes = [picture_hash(Image(encode_png(each))).pixels for each in (flat, turned)]
    assert hashes[0] != hashes[1]


def apart(first: Pixels, second: Pixels) -> int:
    hashes = [perceptual_hash(each) for each in (first, second)]
    assert None not in hashes
    return ((hashes[0] or 0) ^ (hashes[1] or 0)).bit_count()


@pytest.mark.parametrize("scene", SCENES)
def test_a_smaller_compressed_copy_is_nearly_the_same_and_another_photo_is_not(scene: str) -> None:
    pixels = photo(scene)
    height, width = pixels.shape[:2]
    smaller = decode(encode_jpeg(resize(pixels, height // 3, width // 3), 75))
    assert apart(pixels, smaller) <= 6
    assert all(apart(pixels, photo(other)) > 12 for other in SCENES if other != scene)


def test_a_flat_picture_has_no_rough_hash() -> None:
    assert perceptual_hash(np.full((40, 40, 3), 90, np.uint8)) is None


def test_a_list_comes_back_from_its_file(tmp_path: Path) -> None:
    flat = Image(encode_png(np.full((8, 8, 3), 90, np.uint8)))
    samples = [
        EditSample("a", Image(png()), "darken", Image(png(shade=3))),
        EditSample("b", flat, "lighten"),
    ]
    listed = hash_samples("test", samples)
    write_hashes(listed, tmp_path / "list.json")
    assert read_hashes(tmp_path / "list.json") == listed
    assert (listed.edits, len(listed.sources), len(listed.targets)) == (2, 2, 1)


def test_a_list_holds_nothing_of_the_set_but_hashes(tmp_path: Path) -> None:
    hq_edit_rows(tmp_path / "HQ-Edit", instruction="a telltale {at}")
    write_hashes(hash_folder(tmp_path / "HQ-Edit"), tmp_path / "list.json")
    text = (tmp_path / "list.json").read_text()
    assert "telltale" not in text
    content = json.loads(text)
    assert (content["name"], content["edits"]) == ("HQ-Edit", 2)
    assert content["instructions"] == sorted(map(text_hash, ("a telltale 0", "a telltale 1")))


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("{", "not JSON"),
        ({"format": "other"}, "its format is not"),
        ({"version": 2}, "its version is 2, not 1"),
        ({"instructions": ["x"]}, "damaged"),
        ({"sources": [["a" * 64]]}, "damaged"),
    ],
)
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, content: object, cause: str) -> None:
    whole = HashList("a", 0, frozenset(), frozenset(), frozenset()).to_json()
    text = content if isinstance(content, str) else json.dumps({**whole, **dict(content)})  # type: ignore[call-overload]
    put(tmp_path / "list.json", text)
    with pytest.raises(RecipeError, match=cause):
        read_hashes(tmp_path / "list.json")
