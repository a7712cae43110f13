"""A tokenizer made from the training texts: whole words where they recur, bytes where they don't.

A byte-level vocabulary knows every text, so an unseen word becomes smaller pieces: it neither fails
nor turns into another token.
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
    """A byte-level BPE tokenizer (a transformers fast tokenizer); the order of texts is no matter.

    Case and Unicode's compatible forms are folded. A text's ids start with bos and end with eos;
    pad, bos and eos are ids 0, 1 and 2.
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
        split_special_tokens=True,  # a text that spells one is text
    )


def longest(tokenizer: Any, texts: Iterable[str]) -> int:
    """The number of ids of the longest text, with its start and end."""
    return max((len(ids) for ids in _ids(tokenizer, texts)), default=2)


def to_ids(tokenizer: Any, texts: Sequence[str], length: int) -> NDArray[np.int64]:
    """Ids [texts, length], padded; ValueError for a text that has more."""
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
