"""Conversion of a rubric and a case to the question that is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from editloop.chat.messages import Picture, Question
from editloop.chat.prompts import PictureEncoding, encode_picture
from editloop.judges.rubrics import Rubric
from editloop.schema import Pixels

__all__ = ["Sheet"]


class Sheet:
    """A case for rubrics: its texts, its pictures (encoded once for each encoding) and its kind."""

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
        self._encoded: dict[tuple[str, PictureEncoding], Picture] = {}

    def question(
        self,
        rubric: Rubric,
        *,
        repeat: int = 0,
        temperature: float | None = None,
        places: Mapping[str, str] | None = None,
    ) -> Question | str:
        """Return the rubric's question about this case, or why it cannot be asked.

        `temperature` overrides the rubric's. `places` maps a placeholder to the picture shown in
        its place.
        """
        shown = {name: (places or {}).get(name, name) for name in rubric.shows}
        if (reason := self._unasked(rubric, shown.values())) is not None:
            return reason
        pictures = {name: self._picture(key, rubric.pictures) for name, key in shown.items()}
        own = {"criteria": rubric.criteria_of(self._kind) or ""}
        content = rubric.filled(self._texts, pictures, own)
        name = f"{self._name}/{rubric.name}"
        asked_at = rubric.temperature if temperature is None else temperature
        return Question(name, content, rubric.schema_of_reply, repeat, asked_at)

    def _unasked(self, rubric: Rubric, shown: Iterable[str]) -> str | None:
        """Return why the rubric cannot be asked about this case, or None."""
        lacking = [f"{name} picture" for name in shown if name not in self._pixels]
        lacking += [name.replace("_", " ") for name in rubric.tells if name not in self._texts]
        if lacking:
            return f"the rubric {rubric.name} shows the {lacking[0]}, and the case has none"
        if rubric.criteria and rubric.criteria_of(self._kind) is None:
            kind = self._kind or "not known"
            return f"the rubric {rubric.name} has no criteria for this kind of edit: {kind}"
        return None

    def _picture(self, name: str, rule: PictureEncoding) -> Picture:
        if (name, rule) not in self._encoded:
            self._encoded[name, rule] = encode_picture(self._pixels[name], rule)
        return self._encoded[name, rule]
