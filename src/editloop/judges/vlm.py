"""The judge `vlm`: a vision-language model on a chat server that answers rubrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pydantic import Field, field_validator

from editloop.chat.client import Chat, CostEstimate
from editloop.chat.ledger import Reply
from editloop.chat.messages import Failed, Question
from editloop.chat.settings import StoredChatSettings
from editloop.chat.usage import ChatUsage
from editloop.errors import RecipeError
from editloop.images.codec import content_hash
from editloop.judges import verdicts
from editloop.judges.rubrics import Rubric, read_rubric
from editloop.judges.sheet import Sheet
from editloop.judges.thoughts import marks_of
from editloop.judges.verdicts import read_scores, unscored
from editloop.schema import (
    PERSPECTIVES,
    Cause,
    EditedPair,
    Json,
    Score,
    Unscored,
    Verdict,
    canonical_json,
)

__all__ = ["VERSION", "VlmJudge", "VlmSettings", "identity_of", "sheet_of"]

VERSION = "vlm-1"


class VlmSettings(StoredChatSettings):
    """The model, its server, where its replies are kept, and how its thoughts are marked."""

    thoughts: tuple[str, ...] = Field(
        default=(),
        description="further marks of the model's thoughts, such as <plan>...</plan>; what follows "
        "them is its answer",
    )

    @field_validator("thoughts", mode="before")
    @classmethod
    def _is_a_list_of_marks(cls, value: Json) -> Json:
        return value.split(",") if isinstance(value, str) else value

    @field_validator("thoughts")
    @classmethod
    def _are_marks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            marks_of(each)
        return value


class VlmJudge:
    """A judge that asks a model each rubric's question about each pair.

    A perspective without a verdict is unscored, for one of these reasons: refused, unparseable, out
    of range, failed, failed for now, over budget. The last two may pass on a later run
    (`Cause.may_pass_later`). Raises UnavailableError if no question can be answered: no server,
    unknown model, no key.
    """

    class Settings(VlmSettings):
        """The model on an OpenAI-compatible server, its rubrics, and where replies are kept."""

        rubrics: tuple[str, ...] = Field(
            default=PERSPECTIVES,
            min_length=1,
            description="names or files (.yaml) of rubrics, one question each",
        )
        jpeg_quality: int | None = Field(
            default=None,
            ge=1,
            le=100,
            description="send JPEG pictures of this quality; default: as the rubrics say",
        )

        @field_validator("rubrics", mode="before")
        @classmethod
        def _is_a_list(cls, value: Json) -> Json:
            return value.split(",") if isinstance(value, str) else value

    def __init__(self, settings: VlmJudge.Settings) -> None:
        self._settings = settings
        self._rubrics = [_sending(read_rubric(each), settings) for each in settings.rubrics]
        self.perspectives = _perspectives(self._rubrics)
        self.scales = {
            name: (scale.low, scale.high)
            for rubric in self._rubrics
            for name, scale in rubric.perspectives.items()
        }
        self.name = f"vlm:{settings.target}"
        self.version = identity_of(VERSION, settings, self._rubrics)
        self._chat = Chat(settings, settings.ledger.expanduser(), run=settings.run)

    @property
    def counts(self) -> ChatUsage:
        """The questions asked, replies found in the ledger, and cost so far."""
        return self._chat.counts

    @property
    def account(self) -> tuple[Path, str | None]:
        """The file of replies, and the run whose budget and counts this judge shares."""
        return self._chat.ledger.path, self._settings.run

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        """Return one verdict for each pair; all questions are sent concurrently."""
        asked = self._questions(batch)
        questions = [
            (each, partial(self._read, rubric))
            for _, rubric, each in asked
            if isinstance(each, Question)
        ]
        answers = iter(self._chat.ask(questions))
        verdicts: list[Verdict] = [{} for _ in batch]
        for row, rubric, each in asked:
            answer = each if isinstance(each, str) else next(answers)
            verdicts[row] = {**verdicts[row], **self._scores(rubric, answer)}
        return verdicts

    def estimate(self, batch: Sequence[EditedPair]) -> CostEstimate:
        """Return the estimated calls, tokens and cost of judging; asks nothing."""
        asked = [each for *_, each in self._questions(batch) if isinstance(each, Question)]
        return self._chat.estimate(asked)

    def close(self) -> None:
        """Close the connections; later questions are refused."""
        self._chat.close()

    def _questions(self, batch: Sequence[EditedPair]) -> list[tuple[int, Rubric, Question | str]]:
        """Return, by pair and rubric, the questions, or why one cannot be asked."""
        repeat, temperature = self._settings.repeat, self._settings.chosen_temperature
        return [
            (row, rubric, sheet.question(rubric, repeat=repeat, temperature=temperature))
            for row, sheet in enumerate(map(sheet_of, batch))
            for rubric in self._rubrics
        ]

    def _read(self, rubric: Rubric, reply: Reply) -> dict[str, Score]:
        return read_scores(reply.text, rubric, cut=reply.cut, thoughts=self._settings.thoughts)

    def _scores(self, rubric: Rubric, answer: dict[str, Score] | Failed | str) -> Verdict:
        """Return a rubric's scores from an answer, or from the reason why there is none."""
        version = f"{self._settings.target} {rubric.stamp}"
        if isinstance(answer, dict):
            return {name: replace(score, version=version) for name, score in answer.items()}
        if isinstance(answer, str):
            missing = Unscored(answer, version, Cause.MISSING_INPUT)
        else:
            missing = unscored(answer, version)
        return dict.fromkeys(rubric.perspectives, missing)


def _sending(rubric: Rubric, settings: VlmJudge.Settings) -> Rubric:
    """Return the rubric with the JPEG quality of the settings, if they set one."""
    if settings.jpeg_quality is None:
        return rubric
    encoding = {"format": "jpeg", "quality": settings.jpeg_quality}
    return rubric.model_copy(update={"pictures": rubric.pictures.model_copy(update=encoding)})


def sheet_of(pair: EditedPair) -> Sheet:
    """Return the sheet of a pair; an empty picture counts as missing."""
    pictures = {"source": pair.source, "edited": pair.edited, "target": pair.target}
    return Sheet(
        pair.id,
        {name: each for name, each in pictures.items() if each is not None and each.size},
        {
            "instruction": pair.instruction,
            "source_caption": pair.captions.source,
            "target_caption": pair.captions.target,
        },
        pair.group or (pair.edit_type and pair.edit_type.value),
    )


def identity_of(version: str, settings: VlmSettings, rubrics: Sequence[Rubric]) -> str:
    """Return a judge's version: rubric stamps, and a hash of all that can change an answer."""
    stamps = [rubric.stamp for rubric in rubrics]
    content: dict[str, Json] = {
        "settings": settings.identity("jpeg_quality", "rubrics"),
        "rubrics": stamps,
        "reading": verdicts.VERSION,
    }
    if any(rubric.temperature is not None for rubric in rubrics):
        content["temperature"] = settings.chosen_temperature
    digest = content_hash(canonical_json(content).encode())[:12]
    return " ".join([version, *stamps, digest])


def _perspectives(rubrics: Sequence[Rubric]) -> tuple[str, ...]:
    names = [name for rubric in rubrics for name in rubric.perspectives]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RecipeError(
            "two rubrics judge the same perspective", value=twice[0], fix="leave one of them out"
        )
    for rubric in rubrics:
        if not rubric.perspectives:
            raise RecipeError(
                "this rubric compares two edits",
                value=rubric.name,
                fix="use it with the judge `preference`",
            )
    return tuple(names)
