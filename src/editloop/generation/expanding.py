"""The step `expand`: many triplets from few, as self-instruct does (HQ-Edit, appendix A.1).

A model sees a few seeds at a time and writes new triplets of captions and instructions, in rounds,
until `count` are there, the budget ends, or three rounds in a row bring nothing new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import TypeAlias

from pydantic import Field

from editloop.chat.ledger import Reply
from editloop.chat.messages import Failed, Question, ReplyError
from editloop.errors import FailureClass, RecipeError
from editloop.generation.novelty import Novelty
from editloop.generation.replies import entries_of, text_of
from editloop.generation.text_step import TextStep, noted
from editloop.generation.triplets import Triplet, triplet_of
from editloop.images.codec import content_hash
from editloop.kernel.chat_step import ChatStepSettings
from editloop.kernel.engines.worker import current_worker
from editloop.kernel.steps import Fail, Keep, Outcome
from editloop.runtime.seeding import generator
from editloop.schema import Attempt, EditOutcome, EditSample, Json, canonical_json
from editloop.sources.hashes import HashList, read_hashes, text_hash

__all__ = ["Expand", "ExpandSettings"]

_INSTRUCTION, _CAPTION = (2, 60), (3, 60)  # words
_AT_ONCE = 64  # questions of a round
_IN_VAIN = 3  # rounds without anything new
_REPEATS = 1_000_000  # questions that one value of `repeat` has room for


class ExpandSettings(ChatStepSettings):
    """How many triplets to write, how, and how new they must be."""

    count: int = Field(ge=1, description="new triplets to write")
    batch: int = Field(default=10, ge=1, le=50, description="triplets to ask for at a time")
    examples: int = Field(default=6, ge=1, description="seeds to show at a time")
    rouge: float = Field(default=0.7, gt=0, le=1, description="ROUGE-L at which one is a repeat")
    shingles: float = Field(default=0.5, gt=0, le=1, description="the same for shared word triples")
    against: tuple[Path, ...] = Field(
        default=(), description="hash lists of test sets: their instructions are refused"
    )


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An entry of a reply: its triplet or why it cannot be used, and the seed shown first."""

    owner: int
    name: str
    made: Triplet | ReplyError

    @property
    def line(self) -> str:
        return self.made.line if isinstance(self.made, Triplet) else ""


_Parsed: TypeAlias = list[Triplet | ReplyError]


class Expand(TextStep):
    """Write new triplets from the samples it gets, its seeds, which are kept too.

    A new sample belongs to the seed that the model saw first. Every entry of every reply is a
    sample, or a rejected attempt with its reason. Which entries of a round are new does not depend
    on their order. If a call fails for now, all seeds are quarantined: a retry pays nothing twice.
    """

    Settings = ExpandSettings
    prompt = "expand"
    version = "1"
    needs = frozenset({"source_caption", "instruction", "target_caption"})
    adds = frozenset({"source_caption", "instruction", "target_caption"})

    def __init__(self, settings: ExpandSettings) -> None:
        super().__init__(settings)
        self._lists = [read_hashes(path.expanduser()) for path in settings.against]

    @property
    def parameters(self) -> Mapping[str, Json]:
        """As of `ChatStep`, with the lists' content in place of their paths."""
        lists = [content_hash(canonical_json(each.to_json()).encode()) for each in self._lists]
        return {**super().parameters, "against": lists}

    def group(self, sample: EditSample) -> str:  # noqa: ARG002
        """All samples are one group."""
        return self.name

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        """Return each seed with its new samples and rejected attempts. RecipeError for a known one.

        A seed is known if its instruction is in a list of `against`.
        """
        for sample in batch:
            if (known := self._known(sample.instruction)) is not None:
                raise RecipeError(
                    f"a seed is an instruction of the test set {known.name}",
                    value=f"{sample.id}: {sample.instruction}",
                    fix="remove it: what is made from a test set cannot be tested on it",
                )
        found = self._expanded([triplet_of(sample) for sample in batch])
        if isinstance(found, Fail):
            return [found] * len(batch)
        return [self._kept(owner, sample, found) for owner, sample in enumerate(batch)]

    def read(self, sample: EditSample, reply: str) -> EditSample:
        raise NotImplementedError("its replies are about several samples")

    def _expanded(self, seeds: Sequence[Triplet]) -> list[_Candidate] | Fail:
        """Return all candidates; those to keep have a triplet, the others a reason."""
        novelty = Novelty(self.settings.rouge, self.settings.shingles)
        for seed in seeds:
            novelty.add(seed.edit)
        done: list[_Candidate] = []
        missing, asked, in_vain = self.settings.count, 0, 0
        while missing and in_vain < _IN_VAIN:
            numbers = range(asked, asked + min(_AT_ONCE, ceil(missing / self.settings.batch)))
            answers = self._ask(seeds, numbers)
            failed = [each for _, each in answers if isinstance(each, Failed)]
            over = [each for each in failed if each.code == "over-budget"]
            later = [each for each in failed if each.failure is FailureClass.TRANSIENT]
            if len(later) > len(over):
                first = next(each for each in later if each not in over)
                return Fail(first.code, first.failure, first.message)
            decided = self._decided(_candidates(numbers, answers), novelty, missing)
            new = sum(isinstance(each.made, Triplet) for each in decided)
            done += decided
            missing, asked, in_vain = missing - new, numbers.stop, 0 if new else in_vain + 1
            if over:
                break
        return done

    def _ask(self, seeds: Sequence[Triplet], numbers: range) -> list[tuple[int, _Parsed | Failed]]:
        """Return the seed that each question shows first, and what was read from its reply."""
        current_worker().expect(self.deadline, len(numbers))
        drawn = [
            generator("expand", self.context.seed, number).permutation(len(seeds)).tolist()
            for number in numbers
        ]
        questions = [
            self._question(number, [seeds[at] for at in order[: self.settings.examples]])
            for number, order in zip(numbers, drawn, strict=True)
        ]
        read = partial(_read, batch=self.settings.batch)
        answers = self._opened().ask([(question, read) for question in questions])
        return [(order[0], answer) for order, answer in zip(drawn, answers, strict=True)]

    def _question(self, number: int, examples: Sequence[Triplet]) -> Question:
        shown = EditSample(f"{self.name}/{number}", None)
        own = {
            "count": str(self.settings.batch),
            "examples": "\n".join(each.line for each in examples),
        }
        repeat = self.settings.repeat * _REPEATS + number
        chosen = self.settings.chosen_temperature
        temperature = self.filled_prompt.temperature if chosen is None else chosen
        messages = self.filled_prompt.about(shown, own)
        return Question(shown.id, messages, None, repeat, temperature)

    def _decided(
        self, candidates: Sequence[_Candidate], novelty: Novelty, missing: int
    ) -> list[_Candidate]:
        """Return the candidates, with a reason in place of each triplet that is not kept."""
        first: dict[str, _Candidate] = {}
        for each in sorted(candidates, key=lambda each: (each.line, each.name)):
            if isinstance(each.made, Triplet) and self._known(each.made.edit) is None:
                first.setdefault(each.made.edit, each)
        order = sorted(novelty.novel(first), key=lambda edit: (text_hash(edit), edit))
        kept = {first[edit].name for edit in order[:missing]}
        above = {first[edit].name for edit in order[missing:]}
        return [each if each.name in kept else self._rejected(each, above) for each in candidates]

    def _rejected(self, candidate: _Candidate, above: set[str]) -> _Candidate:
        if isinstance(candidate.made, ReplyError):
            return candidate
        reason = "it is not new"
        if candidate.name in above:
            reason = f"more than the {self.settings.count} that were asked for"
        elif (known := self._known(candidate.made.edit)) is not None:
            reason = f"it is an instruction of the test set {known.name}"
        return replace(candidate, made=ReplyError(reason))

    def _known(self, edit: str) -> HashList | None:
        """Return the test set that has an instruction."""
        return next((each for each in self._lists if text_hash(edit) in each.instructions), None)

    def _kept(self, owner: int, sample: EditSample, found: Sequence[_Candidate]) -> Keep:
        own = [each for each in found if each.owner == owner]
        new = [_sample(sample, each) for each in own if isinstance(each.made, Triplet)]
        attempts = [
            Attempt(_sample(sample, each), EditOutcome.WRONG, at, reason=each.made.reason)
            for at, each in enumerate(own, 1)
            if isinstance(each.made, ReplyError)
        ]
        return Keep((sample, *new), tuple(attempts))


def _read(reply: Reply, batch: int) -> _Parsed:
    """Return the triplet of each entry, or why there is none; ReplyError if there is none at all.

    A missing entry counts as one without a triplet, one above `batch` is not used.
    """
    if reply.cut:
        raise ReplyError("it was cut off: answer in fewer words", code="truncated")
    _, entries = entries_of(reply.text, "edits")
    found = [_triplet(entry) for entry in entries]
    if not any(isinstance(each, Triplet) for each in found):
        raise next((each for each in found if isinstance(each, ReplyError)), ReplyError("no edits"))
    extra = ReplyError(f"more than the {batch} that were asked for")
    return [
        *found[:batch],
        *[extra] * (len(found) - batch),
        *[ReplyError("it is missing")] * (batch - len(found)),
    ]


def _triplet(entry: Json) -> Triplet | ReplyError:
    try:
        before, after = (text_of(entry, key, _CAPTION) for key in ("input", "output"))
        if text_hash(before) == text_hash(after):
            raise ReplyError("its captions are the same")
        edit, inverse = (text_of(entry, key, _INSTRUCTION) for key in ("edit", "inverse"))
        return Triplet(before, edit, after, inverse)
    except ReplyError as error:
        return error


def _candidates(
    numbers: range, answers: Sequence[tuple[int, _Parsed | Failed]]
) -> list[_Candidate]:
    """Return the entries of all replies; a question that failed for good is one without triplet."""
    found = []
    for number, (owner, answer) in zip(numbers, answers, strict=True):
        read: _Parsed = (
            [ReplyError(f"{answer.code}: {answer.message}")]
            if isinstance(answer, Failed)
            else answer
        )
        found += [
            _Candidate(owner, f"expand/{number}/{at}", made) for at, made in enumerate(read, 1)
        ]
    return found


def _sample(seed: EditSample, candidate: _Candidate) -> EditSample:
    """Return the candidate as a sample of its seed; one without a triplet has no texts."""
    made = candidate.made
    texts = made if isinstance(made, Triplet) else Triplet("", "", "")
    new = EditSample(
        id=f"{seed.id}/{candidate.name}",
        source=None,
        instruction=texts.edit,
        source_caption=texts.input or None,
        target_caption=texts.output or None,
        inverse_instruction=texts.inverse,
        provenance=seed.provenance,
    )
    return noted(new, expanded_from=seed.id)
