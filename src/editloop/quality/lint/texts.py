"""Checks of texts: placeholders, instructions that are cut off, captions that are equal."""

from __future__ import annotations

import re
from collections.abc import Iterator

from editloop.schema import EditSample

__all__ = ["cut_off", "is_placeholder", "text_problems"]

_WORDS = 60  # about the 77 tokens that CLIP's text encoder reads
_PLACEHOLDERS = {
    "",
    "a caption",
    "caption",
    "edit",
    "edit instruction",
    "edit the image",
    "edit this image",
    "example",
    "instruction",
    "lorem ipsum",
    "n a",
    "na",
    "nan",
    "nil",
    "no caption",
    "no instruction",
    "none",
    "null",
    "placeholder",
    "prompt",
    "string",
    "tbd",
    "test",
    "text",
    "todo",
    "undefined",
    "unknown",
    "xxx",
}
_TEMPLATE = re.compile(
    r"\{\w*\}|<\w+>|\[(?:instruction|object|caption|prompt|text)\]|lorem ipsum", re.I
)
# Edits of size and place, which captions need not tell.
_PLACED = re.compile(
    r"\b(?:mov|shift|slid|enlarg|shrink|scal|resiz|grow|rotat|flip|mirror|turn)\w*"
    r"|\b(?:bigger|larger|smaller|closer|further|taller|shorter|wider|up|down|left|right)\b",
    re.I,
)
_ELLIPSIS = re.compile(r"(?:\.\.\.|…)\s*$")
_OPEN = re.compile(
    r"(?:[,;:(\[{&+/\\-]|\b(?:a|an|the|and|or|with|of|to|into|from|as|its|their|his|her|very))\s*$",
    re.I,
)


def text_problems(sample: EditSample) -> Iterator[tuple[str, str]]:
    """Yield the code and the value of each problem of the sample's texts."""
    captions = (sample.source_caption, sample.target_caption)
    for text in (sample.instruction, sample.inverse_instruction, *captions):
        if text is not None and is_placeholder(text):
            yield "placeholder", repr(text)
            break
    if not is_placeholder(sample.instruction) and (cut := cut_off(sample.instruction)):
        yield "cut-instruction", cut
    same = all(captions) and _plain(captions[0] or "") == _plain(captions[1] or "")
    if same and not _PLACED.search(sample.instruction):
        yield "same-captions", repr(captions[0])


def is_placeholder(text: str) -> bool:
    """Return whether a text stands for one that was never written."""
    return _plain(text) in _PLACEHOLDERS or _TEMPLATE.search(text) is not None


def cut_off(instruction: str) -> str:
    """Return why an instruction looks cut off; an empty string if it does not."""
    words = instruction.split()
    if len(words) > _WORDS:
        return f"{len(words)} words, of which CLIP reads about {_WORDS}"
    ends = _ELLIPSIS.search(instruction) or _OPEN.search(instruction)
    return f"it ends with {words[-1]!r}" if ends and words else ""


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[\W_]+", " ", text.casefold()).split())
