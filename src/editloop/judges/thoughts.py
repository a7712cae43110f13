"""The answer in a model's reply, without the thoughts that it wrote before.

Servers that do not part the two leave the thoughts in the reply, between marks that differ by
model: `<think>`, `<thinking>`, `<seed:think>`, `[THINK]`, `◁think▷`, `<|START_THINKING|>`, and the
channels of OpenAI's Harmony format. Chat templates often write the first mark into the prompt, so
that the reply has only the second. A draft in the thoughts is no answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

__all__ = ["Answer", "answer_in", "marks_of"]

_WORD = (
    r"(?P<word>(?:[\w-]+:)?"
    r"(?:think(?:ing)?|thoughts?|reasoning|analysis|reflection|scratchpad))"
)
_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"<(?P<end>/?){_WORD}(?:\s[^<>]*)?>",
        r"\[(?P<end>/?)(?P<word>think(?:ing)?)\]",
        rf"◁(?P<end>/?){_WORD}▷",
        rf"<\|(?P<end>/|end_(?:of_)?)?(?:start_|begin_)?(?:of_)?{_WORD}\|>",
    )
)
_PAIRS = tuple(
    (re.compile(first), re.compile(last))
    for first, last in (
        (
            r"<\|channel\|>\s*(?!final)\w+",
            r"<\|channel\|>\s*final\b(?:\s*<\|constrain\|>\s*\w+)?(?:\s*<\|message\|>)?",
        ),
        (r"<\|channel>\w*", r"<channel\|>"),
        (r"\A\s*analysis(?=[A-Z])", r"assistantfinal"),  # Harmony without its special tokens
    )
)
_STOP = re.compile(r"<\|(?:end|return|call)\|>(?:<\|start\|>\w*)?\s*\Z")  # Harmony's, at the end
_BETWEEN = "..."


@dataclass(frozen=True, slots=True)
class Answer:
    """The text after a reply's thoughts: whether there were any, and whether some are open."""

    text: str
    after_thoughts: bool
    thinking: bool


@dataclass(frozen=True, slots=True)
class _Mark:
    kind: str
    opens: bool
    start: int
    stop: int


def answer_in(
    text: str, more: Sequence[str] = (), quoted: Sequence[tuple[int, int]] = ()
) -> Answer:
    """Return what follows the thoughts in a reply, up to thoughts that are not finished.

    `more` are further marks, each `FIRST...LAST`. Marks in the spans `quoted` are no marks.
    """
    start, after_thoughts, thinking = 0, False, None
    for mark in sorted(_marks(text, more), key=attrgetter("start")):
        if any(first <= mark.start < last for first, last in quoted):
            continue
        if thinking is None and mark.opens:
            thinking = mark
        elif not mark.opens and (thinking is None or thinking.kind == mark.kind):
            start, after_thoughts, thinking = mark.stop, True, None
    answer = text[start:] if thinking is None else text[start : thinking.start]
    return Answer(_STOP.sub("", answer), after_thoughts, thinking is not None)


def marks_of(thoughts: str) -> tuple[str, str]:
    """Return the first and the last mark in `FIRST...LAST`; raises ValueError for other texts."""
    first, between, last = (each.strip() for each in thoughts.partition(_BETWEEN))
    if not (first and between and last) or first == last:
        raise ValueError(
            f"write two marks of thoughts as <plan>{_BETWEEN}</plan>, not {thoughts!r}"
        )
    return first, last


def _marks(text: str, more: Sequence[str]) -> Iterator[_Mark]:
    for form in _FORMS:
        for found in form.finditer(text):
            kind = f"{form.pattern} {found['word'].casefold()}"
            yield _Mark(kind, not found["end"], *found.span())
    own = (tuple(re.compile(re.escape(mark)) for mark in marks_of(each)) for each in more)
    for first, last in (*_PAIRS, *own):
        for opens, mark in ((True, first), (False, last)):
            for found in mark.finditer(text):
                yield _Mark(first.pattern, opens, *found.span())
