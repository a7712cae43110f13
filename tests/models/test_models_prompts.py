from difflib import SequenceMatcher

import numpy as np
import pytest
import torch

from editloop.models.prompts import changed_tokens, prompt_edit, refinement, spelled, swap
from tiny_tokenizer import LENGTH, make_clip_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A tokenizer with one token per letter, so words have several tokens."""
    return make_clip_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def maps(seed: int) -> torch.Tensor:
    """Attention maps of five pixels: every pixel's attention sums to one."""
    random = torch.Generator().manual_seed(seed)
    return torch.rand(5, LENGTH, generator=random, dtype=torch.float64).softmax(dim=-1)


def test_places_are_where_the_tokenizer_puts_the_words(tokenizer) -> None:
    text = "A  cat's hat, Ünlü 3d"
    made = spelled(tokenizer, text)
    whole = tokenizer(text, padding="max_length", max_length=LENGTH, truncation=True)["input_ids"]
    assert made.words == ("a", "cat's", "hat,", "ünlü", "3d")
    assert list(made.ids) == whole[1 : made.end]
    assert whole[made.end] == tokenizer.eos_token_id
    assert made.places[0] == (1,)
    assert [place for word in made.places for place in word] == list(range(1, made.end))


def test_what_is_too_long_is_cut_as_the_tokenizer_cuts_it(tokenizer) -> None:
    text = "word " * 40
    made = spelled(tokenizer, text)
    whole = tokenizer(text, padding="max_length", max_length=LENGTH, truncation=True)["input_ids"]
    assert list(made.ids) == whole[1:-1]
    assert made.end == LENGTH - 1
    assert made.places[-1] == ()


def test_an_empty_prompt_has_no_words(tokenizer) -> None:
    assert spelled(tokenizer, " ").words == ()
    assert spelled(tokenizer, "").end == 1


@pytest.mark.parametrize("make", [swap, refinement])
def test_between_equal_prompts_the_source_is_taken_whole(tokenizer, make) -> None:
    same = spelled(tokenizer, "a cat on a mat")
    assert torch.equal(make(same, same).apply(maps(0).float(), maps(1).float()), maps(0).float())


def test_a_swapped_word_of_as_many_tokens_takes_each_of_them(tokenizer) -> None:
    source, target = spelled(tokenizer, "a cat sat"), spelled(tokenizer, "a dog sat")
    assert torch.equal(swap(source, target).transfer, torch.eye(LENGTH))


def test_a_longer_word_shares_the_attention_of_the_one_it_replaces(tokenizer) -> None:
    source, target = spelled(tokenizer, "a cat sat"), spelled(tokenizer, "a zebra sat")
    old, new = maps(0).numpy(), maps(1).numpy()
    made = swap(source, target).apply(torch.from_numpy(old).float(), torch.from_numpy(new).float())
    wanted = np.zeros_like(old)
    wanted[:, 0:2] = old[:, 0:2]  # the start, "a"
    wanted[:, 2:7] = old[:, 2:5].sum(axis=1, keepdims=True) / 5  # "cat" to "zebra"
    wanted[:, 7:10] = old[:, 5:8]  # "sat"
    wanted[:, 10:76] = old[:, 8:74]  # the end tokens; the last one takes those that are left
    wanted[:, 76] = old[:, 74:].sum(axis=1)
    np.testing.assert_allclose(made, wanted, atol=1e-6)


def test_a_swap_to_shorter_words_shares_the_last_end(tokenizer) -> None:
    source, target = spelled(tokenizer, "a zebra"), spelled(tokenizer, "a cat")
    transfer = swap(source, target).transfer
    assert transfer[:, 5:-3].argmax(dim=0).tolist() == list(range(7, LENGTH - 1))
    assert transfer[LENGTH - 1, -3:].tolist() == pytest.approx([1 / 3] * 3)


LONG = "word " * 18  # 72 tokens


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("a cat sat", "a zebra sat"),
        ("a zebra sat", "a cat sat"),
        ("the cat and the cat", "the dog and the wolf"),
        ("a cat, a dog.", "a wolf; a pig!"),
        (LONG + "extraordinary end", LONG + "odd end"),  # the source is cut within a word
        (LONG + "odd end", LONG + "extraordinary end"),
        ("a " + LONG + "b c", "zebra " + LONG + "b c"),  # the target's last words are cut
        ("zebra " + LONG + "b c", "a " + LONG + "b c"),
        (LONG * 2, LONG * 2),
        ("", ""),
    ],
)
def test_a_swap_keeps_the_sum_of_attention_and_unchanged_words_in_place(
    tokenizer, source, target
) -> None:
    before, after = spelled(tokenizer, source), spelled(tokenizer, target)
    edit = swap(before, after)
    np.testing.assert_allclose(edit.transfer.sum(dim=1), np.ones(LENGTH), atol=1e-6)
    attended = edit.apply(maps(0).float(), maps(1).float())
    np.testing.assert_allclose(attended.sum(dim=1), np.ones(5), atol=1e-5)
    assert (edit.transfer.sum(dim=0) > 0).all()  # no token is left without attention
    words = zip(before.words, after.words, before.places, after.places, strict=True)
    for word, other, old, new in words:
        if word == other and len(old) == len(new):
            assert torch.equal(edit.transfer[list(old)][:, list(new)], torch.eye(len(old)))


def test_captions_of_equally_many_words_are_swapped_and_others_refined(tokenizer) -> None:
    cat, dog, red = (spelled(tokenizer, text) for text in ("a cat", "a dog", "a red cat"))
    assert torch.equal(prompt_edit(cat, dog).taken, swap(cat, dog).taken)
    assert torch.equal(prompt_edit(cat, red).taken, refinement(cat, red).taken)


def test_a_swap_needs_as_many_words(tokenizer) -> None:
    with pytest.raises(ValueError, match="2 and 3"):
        swap(spelled(tokenizer, "a cat"), spelled(tokenizer, "a big cat"))


def test_a_refinement_keeps_the_target_where_it_is_new(tokenizer) -> None:
    source, target = spelled(tokenizer, "a cat"), spelled(tokenizer, "a xyz cat")
    old, new = maps(0), maps(1)
    made = refinement(source, target).apply(old.float(), new.float())
    wanted = np.zeros((5, LENGTH))
    wanted[:, 0:2] = old[:, 0:2]
    wanted[:, 2:5] = new[:, 2:5]  # "xyz"
    wanted[:, 5:8] = old[:, 2:5]  # "cat"
    wanted[:, 8:76] = old[:, 5:73]
    wanted[:, 76] = old[:, 73:].sum(axis=1)
    np.testing.assert_allclose(made, wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("a cat, a cat", "a red cat, a big cat"),
        ("the dog", "in the snow the dog sleeps"),
        (LONG, LONG + "extraordinary"),
    ],
)
def test_a_refinement_that_only_adds_takes_each_token_where_difflib_finds_it(
    tokenizer, source, target
) -> None:
    before, after = spelled(tokenizer, source), spelled(tokenizer, target)
    edit = refinement(before, after)
    np.testing.assert_allclose(edit.transfer.sum(dim=1), np.ones(LENGTH), atol=1e-6)
    wanted = np.zeros((len(before.ids), len(after.ids)))
    matcher = SequenceMatcher(None, before.ids, after.ids, autojunk=False)
    for old, new, size in matcher.get_matching_blocks():
        wanted[range(old, old + size), range(new, new + size)] = 1
    inside = edit.transfer[1 : before.end, 1 : after.end].numpy()
    np.testing.assert_array_equal(inside, wanted)
    np.testing.assert_array_equal(edit.taken[1 : after.end], wanted.sum(axis=0))


def test_a_refinement_of_other_words_takes_only_start_and_ends(tokenizer) -> None:
    made = refinement(spelled(tokenizer, "abc"), spelled(tokenizer, "xyzw"))
    assert made.taken.tolist() == [1.0] + [0.0] * 4 + [1.0] * (LENGTH - 5)


@pytest.mark.parametrize(
    ("source", "target", "old", "new"),
    [
        ("a cat", "a dog", (2, 3, 4), (2, 3, 4)),
        ("a cat", "a red cat", (), (2, 3, 4)),
        ("a red cat", "a cat", (2, 3, 4), ()),
        ("a cat", "A CAT", (), ()),
    ],
)
def test_changed_words_are_found_on_both_sides(tokenizer, source, target, old, new) -> None:
    found = changed_tokens(spelled(tokenizer, source), spelled(tokenizer, target))
    assert found == (old, new)
