import subprocess
import sys

import numpy as np
import pytest
from transformers import AutoTokenizer

from editloop.models.tokens import longest, to_ids, train_tokenizer

TEXTS = ["make it brighter", "make the ball red", "make the ball blue"]


def test_a_word_that_recurs_is_one_token() -> None:
    tokenizer = train_tokenizer(TEXTS)
    assert longest(tokenizer, ["make the ball"]) == 3 + 2


@pytest.mark.parametrize("text", ["xylophone", "é", "\u202eabc", "🎈", "日本", "\x00", "\ud800"])
def test_an_unseen_text_ends_in_pieces_and_only_its_end_is_an_end(text) -> None:
    tokenizer = train_tokenizer(TEXTS)
    ids = to_ids(tokenizer, [f"make {text} red"], 40)[0]
    assert list(ids).count(tokenizer.eos_token_id) == 1
    assert longest(tokenizer, [f"make {text} red"]) > longest(tokenizer, ["make red"])


@pytest.mark.parametrize("special", ["<|end|>", "<|pad|>", "<|start|>"])
def test_a_text_that_spells_a_special_token_is_text(special) -> None:
    tokenizer = train_tokenizer(TEXTS)
    ids = list(to_ids(tokenizer, [f"make {special}"], 40)[0])
    length = longest(tokenizer, [f"make {special}"])
    assert ids[0] == tokenizer.bos_token_id
    assert set(ids[1 : length - 1]).isdisjoint({0, 1, 2})


def test_case_and_unicode_form_are_no_matter() -> None:
    tokenizer = train_tokenizer(TEXTS)
    plain, other = to_ids(tokenizer, ["make it red", "MAKE it ｒｅｄ"], 16)
    assert np.array_equal(plain, other)


def test_a_text_that_is_too_long_is_refused_with_its_length() -> None:
    tokenizer = train_tokenizer(TEXTS)
    with pytest.raises(ValueError, match="5 tokens where at most 4"):
        to_ids(tokenizer, ["make the ball"], 4)


def test_no_text_is_start_and_end() -> None:
    assert list(to_ids(train_tokenizer(TEXTS), [""], 4)[0]) == [1, 2, 0, 0]


def test_the_order_of_the_texts_is_no_matter() -> None:
    made = [train_tokenizer(texts).backend_tokenizer.to_str() for texts in (TEXTS, TEXTS[::-1])]
    assert made[0] == made[1]


def test_another_process_makes_the_same_tokens() -> None:
    code = (
        "from editloop.models.tokens import train_tokenizer\n"
        f"print(train_tokenizer({TEXTS!r}).backend_tokenizer.to_str())"
    )
    made = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert made.strip() == train_tokenizer(TEXTS).backend_tokenizer.to_str().strip()


def test_a_saved_tokenizer_reads_the_same(tmp_path) -> None:
    tokenizer = train_tokenizer(TEXTS)
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    texts = ["make it <|end|> red", "🎈"]
    assert np.array_equal(to_ids(again, texts, 40), to_ids(tokenizer, texts, 40))
