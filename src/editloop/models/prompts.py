"""Token alignment of two prompts, for prompt-to-prompt's edits of attention maps.

Hertz et al., "Prompt-to-Prompt Image Editing with Cross Attention Control" (2022), section 3.2. M
is the source prompt's cross-attention map, M* the target prompt's, both [..., pixels, tokens];
both kinds of edit use the formula of `PromptEdit.apply`. Token positions are CLIP's: a start token,
the text's tokens, and end tokens up to the full length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "PromptEdit",
    "Spelled",
    "changed_tokens",
    "prompt_edit",
    "refinement",
    "spelled",
    "swap",
]

LENGTH = 77  # tokens of a CLIP text


@dataclass(frozen=True, slots=True)
class Spelled:
    """A prompt's words in lower case, and each word's positions in the token sequence."""

    words: tuple[str, ...]
    places: tuple[tuple[int, ...], ...]
    ids: tuple[int, ...]  # without the start and the end
    length: int

    @property
    def end(self) -> int:
        """The position of the first end token."""
        return len(self.ids) + 1


@dataclass(frozen=True, slots=True, eq=False)
class PromptEdit:
    """An edit of a target's cross-attention maps.

    transfer: [tokens, tokens]; row i distributes source token i's attention over target tokens;
    taken: [tokens] in 0..1; 1 if a target token takes the source's attention.
    """

    transfer: Tensor
    taken: Tensor

    def apply(self, source: Tensor, target: Tensor) -> Tensor:
        """Return taken * (M transfer) + (1 - taken) * M*, [..., pixels, tokens]."""
        moved = source @ self.transfer
        return self.taken * moved + (1 - self.taken) * target


def spelled(tokenizer: Any, prompt: str, length: int = LENGTH) -> Spelled:
    """Split a prompt into words with their token positions, truncated to `length` tokens.

    CLIP first splits at white space, so words can be tokenized separately.
    """
    words = prompt.lower().split()
    pieces = tokenizer(words, add_special_tokens=False)["input_ids"] if words else []
    places: list[tuple[int, ...]] = []
    ids: list[int] = []
    most = length - 2
    for piece in pieces:
        kept = piece[: most - len(ids)]
        places.append(tuple(range(len(ids) + 1, len(ids) + 1 + len(kept))))
        ids += kept
    return Spelled(tuple(words), tuple(places), tuple(ids), length)


def prompt_edit(source: Spelled, target: Spelled) -> PromptEdit:
    """Return a swap if the prompts have equally many words, else a refinement."""
    alike = len(source.words) == len(target.words)
    return swap(source, target) if alike else refinement(source, target)


def swap(source: Spelled, target: Spelled) -> PromptEdit:
    """Return the edit of a word swap: each word takes the attention of the word it replaces.

    Words with equal numbers of tokens are matched token by token; others share their attention
    evenly. Each source token's attention goes to target tokens as a whole, so a pixel's attention
    still sums to one. Raises ValueError if the prompts have different numbers of words.
    """
    if len(source.words) != len(target.words):
        raise ValueError(
            f"a word swap needs as many words in both prompts: {len(source.words)} and "
            f"{len(target.words)}"
        )
    transfer = torch.zeros(source.length, target.length)
    transfer[0, 0] = 1.0
    for old, new in zip(source.places, target.places, strict=True):
        if old and new:  # a word behind the last token that is read has none
            even = torch.full((len(old), len(new)), 1 / len(new))
            share = torch.eye(len(new)) if len(old) == len(new) else even
            transfer[torch.tensor(old)[:, None], torch.tensor(new)] = share
    _connect(transfer, *(transfer.sum(dim=axis) == 0 for axis in (1, 0)))
    return PromptEdit(transfer, torch.ones(target.length))


def refinement(source: Spelled, target: Spelled) -> PromptEdit:
    """Return the edit of an added phrase: tokens in both prompts take the source's attention.

    The alignment A of the paper: (M_t)_{i, A(j)} where A(j) exists, (M*_t)_{i, j} elsewhere.
    """
    transfer = torch.zeros(source.length, target.length)
    transfer[0, 0] = 1.0
    _connect(
        transfer,
        torch.arange(source.length) >= source.end,
        torch.arange(target.length) >= target.end,
    )
    taken = torch.ones(target.length)
    taken[1 : target.end] = 0.0
    for old, new, count in SequenceMatcher(
        None, source.ids, target.ids, autojunk=False
    ).get_matching_blocks():
        at = torch.arange(count) + 1
        transfer[old + at, new + at] = 1.0
        taken[new + at] = 1.0
    return PromptEdit(transfer, taken)


def changed_tokens(source: Spelled, target: Spelled) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the token positions of words that only the source has, and only the target has."""
    old: list[int] = []
    new: list[int] = []
    matcher = SequenceMatcher(None, source.words, target.words, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag != "equal":
            old += _flat(source.places[a:b])
            new += _flat(target.places[c:d])
    return tuple(old), tuple(new)


def _flat(places: Sequence[Sequence[int]]) -> list[int]:
    return [each for word in places for each in word]


def _connect(transfer: Tensor, sources: Tensor, targets: Tensor) -> None:
    """Match tokens, given as masks, one by one; all that are left with the last of the others.

    These are the end tokens, and with a swap the words whose counterpart is cut.
    """
    old, new = sources.nonzero()[:, 0], targets.nonzero()[:, 0]
    alone = min(len(old), len(new)) - 1
    transfer[old[:alone], new[:alone]] = 1.0
    transfer[old[alone:, None], new[alone:]] = 1 / (len(new) - alone)
