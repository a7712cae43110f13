"""Answers of the fake server to the prompts of this room, from edits whose truth is known.

    with FakeServer(text_answers(samples)) as server: ...

Pictures are found by the exact bytes that a step sends, captions and instructions by their words.
For a picture of no known edit, edits that the darkroom makes of any photograph are proposed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from editloop.chat.fake.request import FakeRequest
from editloop.chat.fake.server import Answers
from editloop.chat.prompts import PictureEncoding, encode_picture, fenced
from editloop.darkroom.language.phrases import listing
from editloop.generation.prompts import TextPrompt, read_text_prompt
from editloop.images.codec import content_hash, decode
from editloop.judges.fake.forms import asks_by, declined
from editloop.runtime.seeding import derive_seed
from editloop.schema import EditSample, EditType, Image, Json

__all__ = ["text_answers"]

_PICTURES = ("source", "target")
_PROPOSING = "instruct-from-picture"
_COUNT = re.compile(r"Propose (\d+) ")
_ON_ANY_PHOTO = (EditType.ADD, EditType.GLOBAL, EditType.STYLE)  # the darkroom needs no mask


def text_answers(samples: Iterable[EditSample], otherwise: Answers | None = None) -> Answers:
    """Return a function that answers by these edits; it declines where it knows none.

    A question of no prompt of this room is answered by `otherwise`, if given.
    """
    known = [_Known(sample) for sample in samples]
    prompts = {name: read_text_prompt(name) for name in _ANSWERS}

    def answer(asked: FakeRequest) -> str:
        name = next((each for each, prompt in prompts.items() if asks_by(prompt, asked)), None)
        if name is None and otherwise is not None:
            return otherwise(asked)
        if name is None:
            return declined("the question is of no prompt that I know")
        found = [each.sample for each in known if each.is_shown(prompts[name], asked)]
        if name == _PROPOSING and not found:
            return json.dumps(_proposed(_on_any_photo(asked)))
        return json.dumps(_ANSWERS[name](found)) if found else declined("I know no such edit")

    return answer


class _Known:
    """An edit, and the hashes of its pictures as they are sent."""

    def __init__(self, sample: EditSample) -> None:
        self.sample = sample
        self._sent = {name: _hash(getattr(sample, name)) for name in _PICTURES}

    def is_shown(self, prompt: TextPrompt, asked: FakeRequest) -> bool:
        """Return whether a request shows this edit's pictures and tells its texts."""
        shown = zip(prompt.shows, asked.images, strict=True)
        text = "\n".join(asked.texts)
        return all(content_hash(data) == self._sent[name] for name, data in shown) and all(
            fenced(str(getattr(self.sample, name))) in text for name in prompt.tells
        )


def _hash(picture: Image | None) -> str | None:
    if picture is None:
        return None
    return content_hash(encode_picture(decode(picture.bytes), PictureEncoding()).data)


def _recaption(found: Sequence[EditSample]) -> Json:
    before, after = found[0].source_caption, found[0].target_caption
    return {
        "source_long": f"This picture shows {before}.",
        "source_short": before,
        "target_long": f"This picture shows {after}.",
        "target_short": after,
        "target_local": found[0].edit_object or after,
    }


def _proposed(found: Sequence[EditSample]) -> Json:
    edits = [
        {
            "type": each.edit_type,
            "instruction": each.instruction,
            "before": each.source_caption,
            "after": each.target_caption,
        }
        for each in found
    ]
    return {"unfit": [], "edits": edits}


def _on_any_photo(asked: FakeRequest) -> list[EditSample]:
    """Return as many edits as are asked for, of the types that are, drawn by the picture."""
    text = "\n".join(asked.texts)
    types = text.partition("types:")[2].partition(".")[0]
    rows = [
        each for each in listing() if each.edit_type in _ON_ANY_PHOTO and each.edit_type in types
    ]
    rows.sort(key=lambda each: derive_seed(asked.digest, each.name))
    edits = [
        EditSample(
            each.name,
            source=None,
            instruction=each.example,
            edit_type=each.edit_type,
            source_caption="a photo of a scene",
            target_caption=f"a photo of a scene after the edit: {each.example}",
        )
        for each in rows
    ]
    found = _COUNT.search(text)
    return edits[: int(found[1]) if found else None]


def _written(found: Sequence[EditSample]) -> Json:
    return {
        "edits": [
            {"instruction": each.instruction, "output": each.target_caption} for each in found
        ]
    }


_ANSWERS: Mapping[str, Callable[[Sequence[EditSample]], Json]] = {
    "backward-check": lambda _: {"why": "it is its inverse", "leads_back": "yes"},
    "edit-type": lambda found: {"type": found[0].edit_type, "ultra_edit": "others"},
    "instruct-from-captions": _written,
    "instruct-from-picture": _proposed,
    "inverse": lambda found: {"instruction": found[0].inverse_instruction},
    "recaption": _recaption,
    "revise": lambda found: {"instruction": f"please {found[0].instruction}"},
    "rewrite": lambda found: {"instruction": found[0].instruction},
}
