"""The base of steps that ask a chat model about each sample; a subclass is one method.

    class Caption(ChatStep):
        prompt = "caption.yaml"

        def read(self, sample, reply):
            return replace(sample, source_caption=reply.strip())

Questions of a batch are sent concurrently, replies are stored in the ledger before they are read,
so a resume or a second run asks nothing again, and the budget holds for all processes of a run.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from editloop.chat.client import Chat, CostEstimate
from editloop.chat.ledger import Reply
from editloop.chat.messages import Failed, Question, ReplyError
from editloop.chat.settings import StoredChatSettings
from editloop.chat.usage import ChatUsage, usage_of_run
from editloop.errors import RecipeError
from editloop.images.codec import content_hash
from editloop.kernel.resources import NETWORK, Resources
from editloop.kernel.sample_prompts import SamplePrompt, read_sample_prompt
from editloop.kernel.sample_steps import Answer, SampleStep, outcome_of
from editloop.kernel.steps import Fail, Outcome, StepContext
from editloop.schema import EditSample, Json

__all__ = ["ChatStep", "ChatStepSettings"]


class ChatStepSettings(StoredChatSettings):
    """The model, its server, where replies are kept, and the prompt."""

    prompt: Path | None = Field(
        default=None, description="a prompt's YAML file; default: the step's"
    )


class ChatStep(SampleStep):
    """A step that asks a model one question about each sample, and reads the reply.

    `prompt` is the YAML file of a versioned prompt with the sample's fields as placeholders; a
    subclass that needs other questions overrides `question`. The prompt's and the model's identity
    are part of the step's. A question without an answer quarantines its sample, with the cause.
    """

    Settings: ClassVar[type[ChatStepSettings]] = ChatStepSettings
    prompt: Path | str = ""
    schema: Json | None = None  # the JSON schema of the reply, if it is JSON

    def __init__(self, settings: ChatStepSettings) -> None:
        super().__init__(settings)
        self._run = self._run_in(None)
        self._chat: Chat | None = None

    @abstractmethod
    def read(self, sample: EditSample, reply: str) -> Answer:
        """Return the sample with what the reply says, or an outcome.

        Raises ReplyError, with a reason that the model can read, to ask again.
        """
        ...

    def own_texts(self, sample: EditSample) -> Mapping[str, str]:  # noqa: ARG002
        """Return the texts of the prompt's own placeholders; none, unless overridden."""
        return {}

    def question(self, sample: EditSample) -> Question | Outcome:
        """Return the question about a sample: the filled prompt, unless a subclass overrides it.

        An outcome in its place is the sample's; nothing is asked then.
        """
        asked, chosen = self.filled_prompt, self.settings.chosen_temperature
        temperature = asked.temperature if chosen is None else chosen
        repeat = self.settings.repeat
        return Question(
            sample.id, asked.about(sample, self.own_texts(sample)), self.schema, repeat, temperature
        )

    @cached_property
    def filled_prompt(self) -> SamplePrompt:
        """The prompt; RecipeError if the step has none."""
        path = self.settings.prompt or self.prompt
        if not path:
            raise RecipeError(
                "the step has no prompt", value=self.name, fix="set `prompt`, or define `question`"
            )
        return read_sample_prompt(path)

    @property
    def resources(self) -> Resources:
        """The network."""
        return NETWORK

    @property
    def deadline(self) -> float:  # type: ignore[override]
        """The seconds that all attempts for one question may take."""
        return float(self.settings.timeout * self.settings.attempts)

    @cached_property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """The sample's fields that the prompt shows."""
        return self.filled_prompt.needs if self._has_prompt else frozenset()

    @property
    def parameters(self) -> Mapping[str, Json]:
        """Everything that can change an answer: the model, its settings, and the prompt's stamp."""
        content = self.settings.identity("prompt")
        stamp = self.filled_prompt.stamp if self._has_prompt else ""
        return {**content, "prompt": stamp}

    @property
    def _has_prompt(self) -> bool:
        return bool(self.settings.prompt or self.prompt)

    def setup(self, context: StepContext) -> None:
        """Open the ledger, and count calls and budget in the run of the context's cache."""
        super().setup(context)
        self._run = self._run_in(context.cache)

    def close(self) -> None:
        """Close the connections."""
        if self._chat is not None:
            self._chat.close()

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        """Return the outcome of each sample's question; all are asked concurrently."""
        asked = [self.question(sample) for sample in batch]
        answers = iter(
            self._opened().ask(
                [
                    (question, partial(self._read, sample))
                    for sample, question in zip(batch, asked, strict=True)
                    if isinstance(question, Question)
                ]
            )
        )
        return [_outcome(next(answers)) if isinstance(each, Question) else each for each in asked]

    def estimate(self, batch: Sequence[EditSample]) -> CostEstimate:
        """Return the estimated calls, tokens and cost of a batch; asks nothing."""
        asked = [self.question(sample) for sample in batch]
        return self._opened().estimate([each for each in asked if isinstance(each, Question)])

    def usage(self, cache: Path) -> ChatUsage:
        """Return the usage of the server since the start of the run that has this cache."""
        return usage_of_run(self._ledger, self._run_in(cache))

    @property
    def _ledger(self) -> Path:
        return Path(self.settings.ledger).expanduser()

    def _opened(self) -> Chat:
        if self._chat is None:
            self._chat = Chat(self.settings, self._ledger, run=self._run)
        return self._chat

    def _run_in(self, cache: Path | None) -> str:
        """Return the name under which this step's budget and counts are kept in a run."""
        if self.settings.run is not None:
            return str(self.settings.run)
        place = "" if cache is None else str(cache.resolve())
        return f"{self.name}-{content_hash(place.encode())[:16]}"

    def _read(self, sample: EditSample, reply: Reply) -> Outcome:
        if reply.cut:
            raise ReplyError("it was cut off: answer in fewer words", code="truncated")
        return outcome_of(self.read(sample, reply.text), f"{self.name}.read")


def _outcome(answer: Outcome | Failed) -> Outcome:
    if not isinstance(answer, Failed):
        return answer
    return Fail(answer.code, answer.failure, answer.message, reply_key=answer.reply_key)
