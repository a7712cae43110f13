"""A tokenizer trained on the training texts: frequent words are tokens, rare ones several.

A byte-level vocabulary covers every text: an unseen word is split into smaller pieces, so it
neither fails nor becomes an unknown token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

__all__ = ["longest", "to_ids", "train_tokenizer"]

_PAD, _START, _END = "<|pad|>", "<|start|>", "<|end|>"


def train_tokenizer(texts: Iterable[str], *, vocabulary: int = 2048) -> Any:
    """Train a byte-level BPE tokenizer (a transformers fast tokenizer).

    The order of texts doesn't matter. Texts are lower-cased and NFKC-normalised. A text's ids start
    with bos and end with eos; pad, bos and eos are ids 0, 1 and 2.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[_PAD, _START, _END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(texts), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=_PAD,
        bos_token=_START,
        eos_token=_END,
        split_special_tokens=True,  # special tokens written in a text are plain text
    )


def longest(tokenizer: Any, texts: Iterable[str]) -> int:
    """Return the number of ids of the longest text, with start and end."""
    return max((len(ids) for ids in _ids(tokenizer, texts)), default=2)


def to_ids(tokenizer: Any, texts: Sequence[str], length: int) -> NDArray[np.int64]:
    """Return ids [texts, length], padded; raise ValueError for a longer text."""
    made = np.full((len(texts), length), tokenizer.pad_token_id, np.int64)
    for row, ids, text in zip(made, _ids(tokenizer, texts), texts, strict=True):
        if len(ids) > length:
            raise ValueError(f"{len(ids)} tokens where at most {length} are read: {text!r}")
        row[: len(ids)] = ids
    return made


def _ids(tokenizer: Any, texts: Iterable[str]) -> list[list[int]]:
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    whole = [text.encode("utf-8", "replace").decode() for text in texts]  # no lone surrogates
    encoded = tokenizer(whole, add_special_tokens=False)["input_ids"] if whole else []
    return [[start, *ids, end] for ids in encoded]
