"""The store: each picture encoded once for a model, in order, with the same bits in any batch."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from editloop.errors import StepError
from editloop.metrics.embeddings import Embeddings, EncodeCounts
from editloop.metrics.encoders import ImageModel
from editloop.metrics.networks import Tokens
from editloop.runtime.seeding import generator
from editloop.schema import Pixels
from tiny_tokenizer import LENGTH

TEXTS = ["a cat", "a dog on a mat", "ein Fuß, 犬"]
LONG = "a very long story of a dog that sat on a mat"  # more tokens than the short width


@pytest.fixture
def clip(clip_folder: Path) -> ImageModel:
    return ImageModel(str(clip_folder))


def pictures(count: int, height: int = 40, width: int = 52) -> list[Pixels]:
    rng = generator("embeddings", count, height, width)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def same(first: np.ndarray, second: np.ndarray) -> bool:
    return first.tobytes() == second.tobytes()


@pytest.mark.parametrize("kind", ["clip", "dino", "dinov2"])
def test_a_picture_has_the_same_bits_alone_and_in_company(
    kind: str, request: pytest.FixtureRequest
) -> None:
    model = ImageModel(str(request.getfixturevalue(f"{kind}_folder")), kind)
    shown = pictures(7)
    together = Embeddings(batch=4).images(model, shown)
    alone = Embeddings(batch=4)
    assert same(together, np.concatenate([alone.images(model, [each]) for each in shown]))


def test_a_text_has_the_same_bits_alone_and_in_company(clip: ImageModel) -> None:
    texts = [LONG, *TEXTS, LONG + "!"]
    together, alone = Embeddings(batch=2).texts(clip, texts), Embeddings(batch=2)
    assert same(together, np.concatenate([alone.texts(clip, [each]) for each in texts]))


def test_a_short_text_is_not_filled_up_to_the_longest(clip: ImageModel) -> None:
    reader = Tokens(clip)
    assert [reader.ids([text]).shape for text in ("a cat", LONG)] == [(1, 32), (1, LENGTH)]
    assert LENGTH > len(LONG) > 32


def test_duplicates_are_encoded_once_and_come_back_in_order(clip: ImageModel) -> None:
    first, second = pictures(2)
    store = Embeddings()
    made = store.images(clip, [first, second, first.copy(), second, first])
    assert store.counts == EncodeCounts(images_encoded=2)
    assert same(made[0], made[2])
    assert same(made[1], made[3])
    assert not same(made[0], made[1])


def test_embeddings_are_float32_rows(clip: ImageModel) -> None:
    store = Embeddings()
    for made in (store.images(clip, pictures(3)), store.texts(clip, TEXTS)):
        assert (made.shape, made.dtype) == ((3, 24), np.float32)


def test_nothing_asked_is_nothing_answered(clip: ImageModel) -> None:
    store = Embeddings()
    assert len(store.images(clip, [])) == len(store.texts(clip, [])) == 0
    assert store.counts == EncodeCounts()


def test_a_second_run_encodes_nothing_and_gives_the_same_bytes(
    clip: ImageModel, tmp_path: Path
) -> None:
    first = Embeddings(tmp_path)
    made = first.images(clip, pictures(5)), first.texts(clip, TEXTS)
    second = Embeddings(tmp_path)
    again = second.images(clip, pictures(5)), second.texts(clip, TEXTS)
    assert second.counts == EncodeCounts(images_found=5, texts_found=3)
    assert all(map(same, made, again))


def test_what_was_encoded_before_a_failure_is_kept(clip: ImageModel, tmp_path: Path) -> None:
    shown = pictures(4)
    grey = shown[0][:, :, 0]  # not a picture: it has no channels
    with pytest.raises(ValueError, match="broadcast"):
        Embeddings(tmp_path, batch=2).images(clip, [*shown, grey])
    again = Embeddings(tmp_path, batch=2)
    again.images(clip, pictures(4))
    assert again.counts == EncodeCounts(images_found=4)


def test_one_shape_is_not_another_of_the_same_bytes(clip: ImageModel) -> None:
    (shown,) = pictures(1, 40, 60)
    store = Embeddings()
    made = store.images(clip, [shown, shown.reshape(60, 40, 3)])
    assert store.counts.images_encoded == 2
    assert not same(made[0], made[1])


def test_a_picture_may_be_a_view_of_another(clip: ImageModel) -> None:
    (shown,) = pictures(1, 60, 80)
    cut = shown[10:50, 10:62]
    assert not cut.flags.c_contiguous
    store = Embeddings()
    assert same(store.images(clip, [cut])[0], store.images(clip, [cut.copy()])[0])
    assert store.counts == EncodeCounts(images_encoded=1, images_found=1)


def test_models_are_apart(clip: ImageModel, dino_folder: Path) -> None:
    store, shown = Embeddings(), pictures(1)
    for model in (clip, replace(clip, crop="none"), ImageModel(str(dino_folder), "dino")):
        store.images(model, shown)
    assert store.counts == EncodeCounts(images_encoded=3)


def test_a_picture_is_hashed_once_while_it_is_held(clip: ImageModel) -> None:
    """A change of a picture goes unnoticed while held, and is noticed afterwards."""
    store, (shown,) = Embeddings(), pictures(1)
    with store.held():
        before = store.images(clip, [shown])
        shown[:] = 0
        assert same(store.images(clip, [shown]), before)
    assert not same(store.images(clip, [shown]), before)


def test_a_text_too_long_is_refused_and_never_cut(clip: ImageModel) -> None:
    store = Embeddings()
    fits, long = "a" * 75, "a" * 76  # one token for each letter, plus two
    reasons = store.refused(clip, [fits, long, fits])
    assert reasons[::2] == [None, None]
    assert "has 78 tokens" in str(reasons[1])
    assert "reads 77" in str(reasons[1])
    with pytest.raises(StepError, match="78 tokens"):
        store.texts(clip, [fits, long])
    assert store.counts.texts_encoded == 0


def test_half_precision_is_near_and_kept_apart(clip: ImageModel, tmp_path: Path) -> None:
    store, shown = Embeddings(tmp_path), pictures(4)
    exact, half = store.images(clip, shown), store.images(replace(clip, precision="bf16"), shown)
    cosines = (exact * half).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(half, axis=1)
    assert half.dtype == np.float32
    assert cosines.min() > 0.99
    assert not same(exact, half)
    assert len(list(tmp_path.glob("*.sqlite"))) == 2


def test_memory_does_not_grow_with_the_number_of_pictures(dino_folder: Path) -> None:
    """A prepared picture takes 12 kB here, and at most two batches are prepared at a time."""
    model = ImageModel(str(dino_folder), "dino")

    def peak(count: int) -> int:
        shown = pictures(count, 8, 8)
        store = Embeddings(batch=4)
        store.images(model, pictures(4, 9, 9))  # load the network first
        tracemalloc.start()
        store.images(model, shown)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(128) - peak(16) < 112 * 2000


def test_a_batch_is_filled_by_several_calls(clip: ImageModel) -> None:
    store, shown = Embeddings(batch=4), pictures(4)
    first, second = store.images_later(clip, shown[:3]), store.images_later(clip, shown[3:])
    again = store.images_later(clip, shown[:1])
    assert store.counts == EncodeCounts(images_found=1)  # nothing is loaded yet
    made = np.concatenate([first(), second(), again()])
    assert store.counts == EncodeCounts(images_encoded=4, images_found=1)
    assert same(made, Embeddings(batch=4).images(clip, [*shown, shown[0]]))
