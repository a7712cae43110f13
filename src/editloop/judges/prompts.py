r"""From a rubric and a case to what is sent: pictures, and texts that cannot pose as orders.

Instructions and captions are written by strangers. In a prompt each stands as one JSON string in a
block of its own:

    <data-1f6a0c0e4b2d7a93>
    "make the sky \u003cb\u003eblue\u003c/b\u003e"
    </data-1f6a0c0e4b2d7a93>

Inside, `<`, `>`, line breaks and everything invisible are escaped, so that no text can close its
block or hide words in it; the tag comes from the text's own digest, so that none can quote it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from PIL import Image

from editloop.chat import Message, Picture, Question
from editloop.images.codec import content_hash
from editloop.judges.rubrics import Pictures, Rubric
from editloop.schema import Pixels

__all__ = ["Sheet", "fenced", "messages", "picture"]


class Sheet:
    """A case as rubrics show it: its texts, its pictures (each encoded once a rule), its kind."""

    def __init__(
        self,
        name: str,
        pictures: Mapping[str, Pixels | None],
        texts: Mapping[str, str | None],
        kind: str | None = None,
    ) -> None:
        self._name = name
        self._pixels = {key: each for key, each in pictures.items() if each is not None}
        self._texts = {key: each for key, each in texts.items() if each}
        self._kind = kind
        self._encoded: dict[tuple[str, Pictures], Picture] = {}

    def question(
        self,
        rubric: Rubric,
        *,
        repeat: int = 0,
        temperature: float | None = None,
        places: Mapping[str, str] | None = None,
    ) -> Question | str:
        """The rubric's question about this case, or why it cannot be asked.

        `temperature` goes before the rubric's. `places` says which picture stands in another's
        place.
        """
        shown = {name: (places or {}).get(name, name) for name in rubric.shows}
        if (reason := self._unasked(rubric, shown.values())) is not None:
            return reason
        pictures = {name: self._picture(key, rubric.pictures) for name, key in shown.items()}
        said = messages(rubric, self._texts, pictures, rubric.criteria_of(self._kind) or "")
        name = f"{self._name}/{rubric.name}"
        asked_at = rubric.temperature if temperature is None else temperature
        return Question(name, said, rubric.schema_of_reply, repeat, asked_at)

    def _unasked(self, rubric: Rubric, shown: Iterable[str]) -> str | None:
        """Why the rubric cannot be asked about this case, or None."""
        lacking = [f"{name} picture" for name in shown if name not in self._pixels]
        lacking += [name.replace("_", " ") for name in rubric.tells if name not in self._texts]
        if lacking:
            return f"the rubric {rubric.name} shows the {lacking[0]}, and the case has none"
        if rubric.criteria and rubric.criteria_of(self._kind) is None:
            kind = self._kind or "not known"
            return f"the rubric {rubric.name} has no criteria for this kind of edit: {kind}"
        return None

    def _picture(self, name: str, rule: Pictures) -> Picture:
        if (name, rule) not in self._encoded:
            self._encoded[name, rule] = picture(self._pixels[name], rule)
        return self._encoded[name, rule]


def fenced(text: str) -> str:
    """The text as one JSON string in a block that it can neither close nor imitate."""
    tag = f"data-{content_hash(text.encode('utf-8', 'surrogatepass'))[:16]}"
    body = "".join(map(_escaped, text))
    return f'<{tag}>\n"{body}"\n</{tag}>'


def messages(
    rubric: Rubric,
    texts: Mapping[str, str],
    pictures: Mapping[str, Picture],
    criteria: str = "",
) -> tuple[Message, ...]:
    """The rubric's question with each placeholder's text or picture in its place."""
    parts: list[str | Picture] = []
    words = ""
    for at, piece in enumerate(rubric.pieces):
        if at % 2 == 0:
            words += piece
        elif piece in pictures:
            parts += [words, pictures[piece]]
            words = ""
        elif piece == "criteria":
            words += criteria
        else:
            words += fenced(texts[piece]) if rubric.fenced else texts[piece]
    parts.append(words)
    said = [part for part in parts if isinstance(part, Picture) or part.strip()]
    asked = Message("user", tuple(said))
    return (Message("system", (rubric.system,)), asked) if rubric.system else (asked,)


def picture(pixels: Pixels, rule: Pictures) -> Picture:
    """A picture as a rubric sends it.

    A height is reached by Pillow's bicubic filter, the width in proportion.
    """
    if rule.height is not None and pixels.shape[0] != rule.height:
        width = max(1, round(pixels.shape[1] * rule.height / pixels.shape[0]))
        image = Image.fromarray(pixels).resize((width, rule.height), Image.Resampling.BICUBIC)
        pixels = np.asarray(image)
    return Picture.png(pixels) if rule.format == "png" else Picture.jpeg(pixels, rule.quality)


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable() and character not in "<>":
        return character
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
