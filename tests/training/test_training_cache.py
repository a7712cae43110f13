from dataclasses import replace

import numpy as np
import pytest

from editloop.errors import ImageError, StoreError, TrainingError
from editloop.images.codec import decode, encode_png
from editloop.schema import Image, Score, Unscored
from editloop.training.cache import open_cache, reward_text_of
from networks import SIZE, edit_samples


def open_from(folder, samples, key="k", size=SIZE):
    return open_cache(folder, key, size, lambda: samples)


def unread():
    raise AssertionError("the samples were read again")


def test_rows_hold_source_target_and_mask(tmp_path) -> None:
    samples = edit_samples(3)
    cache = open_from(tmp_path, samples)
    for row, sample in zip(cache.pictures, samples, strict=True):
        assert np.array_equal(row[..., :3], decode(sample.source.bytes))
        assert np.array_equal(row[..., 3:6], decode(sample.target.bytes))
        assert (row[..., 6] == 255).all()


def test_texts_are_kept_once_and_found_again(tmp_path) -> None:
    samples = edit_samples(5)
    cache = open_from(tmp_path, samples)
    assert len(cache.texts) == 2
    assert [cache.texts[number] for number in cache.instruction] == [s.instruction for s in samples]
    assert cache.reward_texts == ("None;None;None",)


def test_pictures_are_mapped_not_loaded(tmp_path) -> None:
    assert isinstance(open_from(tmp_path, edit_samples(2)).pictures, np.memmap)


def test_a_finished_cache_is_not_made_again(tmp_path) -> None:
    first = open_from(tmp_path, edit_samples(2))
    again = open_cache(tmp_path, "k", SIZE, unread)
    assert np.array_equal(first.pictures, again.pictures)
    assert np.array_equal(first.scores, again.scores)


@pytest.mark.parametrize("change", [{"key": "other"}, {"size": 16}])
def test_a_cache_of_other_data_or_size_is_made_again(tmp_path, change) -> None:
    open_from(tmp_path, edit_samples(2))
    assert len(open_from(tmp_path, edit_samples(4), **change)) == 4


def test_an_interrupted_cache_is_made_again(tmp_path) -> None:
    def stopped():
        yield from edit_samples(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_cache(tmp_path, "k", SIZE, stopped)
    assert len(open_from(tmp_path, edit_samples(3))) == 3


def test_a_score_that_is_not_known_is_not_kept(tmp_path) -> None:
    sample = edit_samples(1)[0]
    scores = {"following": Score(2.5), "preserving": Unscored("judge refused")}
    cache = open_from(tmp_path, [replace(sample, scores=scores)])
    assert cache.scores.tolist() == [[2.5, 0, 0]]
    assert cache.keep.tolist() == [[1, 0, 0]]


def test_reward_texts_are_joined_in_the_papers_order() -> None:
    sample = edit_samples(1)[0]
    scores = {
        "quality": Score(3.0, text="noisy"),
        "following": Score(5.0),
        "preserving": Unscored("no judge"),
    }
    assert reward_text_of(replace(sample, scores=scores)) == "None;;noisy"


@pytest.mark.parametrize("level", [None, 255, 0])
def test_a_missing_or_white_mask_means_everywhere_and_a_black_one_nowhere(tmp_path, level) -> None:
    mask = None if level is None else Image(encode_png(np.full((SIZE, SIZE), level, np.uint8)))
    cache = open_from(tmp_path, [replace(edit_samples(1)[0], mask=mask)])
    assert (cache.pictures[0, ..., 6] == (255 if level is None else level)).all()


def test_source_target_and_mask_are_resized_together(tmp_path) -> None:
    pixels = np.zeros((40, 20, 3), np.uint8)
    pixels[:20] = 255
    mask = pixels[..., 0].copy()
    made = Image(encode_png(pixels))
    sample = replace(edit_samples(1)[0], source=made, target=made, mask=Image(encode_png(mask)))
    row = open_from(tmp_path, [sample], size=16).pictures[0]
    assert row.shape == (16, 16, 7)
    assert (row[:8] == 255).all()
    assert (row[8:] == 0).all()


def test_a_sample_without_a_target_is_named(tmp_path) -> None:
    with pytest.raises(TrainingError, match="train/0"):
        open_from(tmp_path, [replace(edit_samples(1)[0], target=None)])


def test_pictures_that_differ_in_size_are_refused(tmp_path) -> None:
    small = Image(encode_png(np.zeros((8, 8, 3), np.uint8)))
    with pytest.raises(TrainingError, match="differ in size"):
        open_from(tmp_path, [replace(edit_samples(1)[0], target=small)])


def test_a_picture_that_cannot_be_read_is_refused(tmp_path) -> None:
    with pytest.raises(ImageError):
        open_from(tmp_path, [replace(edit_samples(1)[0], source=Image(b"GIF89a"))])


def test_an_empty_split_is_refused(tmp_path) -> None:
    with pytest.raises(TrainingError, match="nothing to train on"):
        open_from(tmp_path, [])


def test_pictures_that_went_missing_are_explained(tmp_path) -> None:
    open_from(tmp_path, edit_samples(2))
    (tmp_path / "pictures.bin").unlink()
    with pytest.raises(StoreError, match="cache"):
        open_cache(tmp_path, "k", SIZE, unread)
