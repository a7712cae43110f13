"""Tokenizers for tests, made from nothing: a token a letter, and CLIP's knows every letter."""

from pathlib import Path

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer, T5Tokenizer

__all__ = ["END", "LENGTH", "START", "TEXT_IDS", "make_clip_tokenizer", "tiny_t5_tokenizer"]

LENGTH = 77  # ids in a text, as CLIP's own
START, END = 512, 513  # the ids of the specials, which come last

# For a text encoder's configuration: left out, CLIP's own ids point past this vocabulary.
TEXT_IDS = {
    "vocab_size": END + 1,
    "max_position_embeddings": LENGTH,
    "bos_token_id": START,
    "eos_token_id": END,
    "pad_token_id": END,
}


def make_clip_tokenizer(folder: Path) -> CLIPTokenizer:
    """The tokenizer, saved into a folder in CLIP's layout.

    A vocabulary without each byte, alone and at a word's end, would turn unseen letters into the
    end-of-text token without a word.
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(f"{each}</w>" for each in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    made = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=LENGTH)
    made.save_pretrained(folder)
    return made


def tiny_t5_tokenizer() -> T5Tokenizer:
    """T5's, of ASCII's letters."""
    letters = [(chr(code), -3.0) for code in range(33, 127)]
    specials = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    return T5Tokenizer(vocab=[*specials, *letters], extra_ids=0)
