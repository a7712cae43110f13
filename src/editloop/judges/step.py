"""The step `judge`: adds a judge's verdict on a sample's target to the sample's scores.

No sample is dropped. A perspective that a judge cannot score is unscored with the reason. If a
score is missing for a transient cause (server busy, budget spent), the sample goes to quarantine as
transient, so that `retry` asks only for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from editloop.chat.client import CostEstimate
from editloop.chat.settings import ChatSettings
from editloop.chat.usage import ChatUsage, usage_of_run
from editloop.errors import FailureClass, RecipeError, StepError
from editloop.images.codec import content_hash
from editloop.judges.missing_verdicts import NO_VERDICT
from editloop.judges.panel import members_of
from editloop.judges.samples import SamplePair, sample_pair
from editloop.kernel.resources import CPU, NETWORK, Resources
from editloop.kernel.steps import Fail, Keep, Outcome, StepContext
from editloop.registry import Spec, parse_spec, settings_of
from editloop.schema import PERSPECTIVES, Cause, EditSample, Json, Judge, Score, Unscored, Verdict
from editloop.settings import Settings as BaseSettings
from editloop.sources.scales import REWARDS, rescaled

__all__ = ["JudgeStep", "JudgeStepSettings"]

_BYTES = 256_000_000  # of pixels in memory at a time


class JudgeStepSettings(BaseSettings):
    """The judge, and the names under which its scores are stored."""

    judge: str | dict[str, Json] = Field(description="a judge's SPEC, or a mapping with `kind`")
    prefix: str = Field(
        default="",
        pattern=r"^[\w-]*$",
        description="prefix of the perspectives' names, so that scores of the same name are kept",
    )


class JudgeStep:
    """A step that adds a judge's verdict to `scores`: one score for each perspective.

    Each score has the judge's version, which covers everything that can change a verdict. A score
    that the sample has under the same name is replaced. Rewards (`PERSPECTIVES`) are stored from 0
    to 5: mapped from the judge's own scale, and unscored if they are not on it. Judges that ask a
    server share their budget in all processes of a run.
    """

    Settings = JudgeStepSettings
    name = "judge"
    version = "3"
    needs = frozenset({"source"})
    adds = frozenset({"scores"})
    deadline = 600.0  # seconds; a question may wait for a busy server

    def __init__(self, settings: JudgeStepSettings) -> None:
        self._spec = parse_spec(settings.judge, "judge")
        self._prefix = settings.prefix
        self._judge: Judge = self._spec.create("judge")
        if not hasattr(self._judge, "judge"):
            raise RecipeError(
                "this judge compares two edits and gives no scores",
                value=self._spec.name,
                fix="use a judge that gives scores, such as vlm:MODEL?base_url=URL",
            )

    @property
    def parameters(self) -> Mapping[str, Json]:
        judge = {"kind": self._spec.kind, "name": self._judge.name, "version": self._judge.version}
        return {"judge": judge, "prefix": self._prefix}

    @property
    def perspectives(self) -> tuple[str, ...]:
        """The names of the scores that this step stores."""
        return tuple(f"{self._prefix}{name}" for name in self._judge.perspectives)

    @property
    def resources(self) -> Resources:
        """The network if the judge, or a member of its panel, asks a server; else the judge's own.

        A judge that states no `resources` takes one core.
        """
        own: Resources = getattr(self._judge, "resources", CPU)
        return NETWORK if _asks(self._spec) else own

    def setup(self, context: StepContext) -> None:
        if self.resources.network:
            self._judge = _in_run(self._spec, _run_of(context.cache)).create("judge")

    def close(self) -> None:
        getattr(self._judge, "close", lambda: None)()

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        verdicts = [
            verdict
            for group in _groups(map(sample_pair, batch))
            for verdict in self._verdicts(group)
        ]
        return [
            self._outcome(sample, verdict) for sample, verdict in zip(batch, verdicts, strict=True)
        ]

    def estimate(self, batch: Sequence[EditSample]) -> list[CostEstimate]:
        """Return the cost estimate of each judge that asks a server; asks nothing."""
        pairs = [
            each.pair
            for each in map(sample_pair, batch)
            if each.pair is not None and not self._unfit(each)
        ]
        return [judge.estimate(pairs) for judge in _paid(self._judge)]

    def usage(self, cache: Path) -> ChatUsage:
        """Return the usage of servers since the start of the run that has this cache."""
        default = _run_of(cache)  # of the judges that set none
        accounts = [each.account for each in _paid(self._judge)]
        found = sorted({(path, run or default) for path, run in accounts})
        return sum((usage_of_run(path, run) for path, run in found), ChatUsage())

    def _verdicts(self, batch: Sequence[SamplePair]) -> list[Verdict]:
        """Return each sample's verdict, unscored with the reason if the judge cannot be asked."""
        reasons = [each.reason or self._unfit(each) for each in batch]
        asked = [
            each.pair
            for each, reason in zip(batch, reasons, strict=True)
            if each.pair is not None and not reason
        ]
        given = self._judge.judge(asked) if asked else []
        if len(given) != len(asked):
            raise StepError(
                f"{self._judge.name} gave {len(given)} verdicts on {len(asked)} pairs",
                fix="return one verdict for each pair",
            )
        rest = iter(given)
        return [
            dict.fromkeys(self._judge.perspectives, Unscored(reason, cause=Cause.MISSING_INPUT))
            if reason
            else next(rest)
            for reason in reasons
        ]

    def _unfit(self, sample: SamplePair) -> str:
        """Return why this judge cannot judge a pair, or an empty text."""
        return sample.unknown if "target" in getattr(self._judge, "needs", ()) else ""

    def _outcome(self, sample: EditSample, verdict: Verdict) -> Outcome:
        named = {**dict.fromkeys(self._judge.perspectives, NO_VERDICT), **verdict}
        later = {
            name: each
            for name, each in named.items()
            if isinstance(each, Unscored) and each.cause.may_pass_later
        }
        if later:
            reasons = "; ".join(f"{name}: {each.reason}" for name, each in later.items())
            key = next((each.reply_key for each in later.values() if each.reply_key), None)
            return Fail("no-verdict-yet", FailureClass.TRANSIENT, reasons, reply_key=key)
        scores = {
            f"{self._prefix}{name}": self._on_scale(name, self._signed(each))
            for name, each in named.items()
        }
        return Keep((replace(sample, scores={**sample.scores, **scores}),))

    def _on_scale(self, name: str, score: Score | Unscored) -> Score | Unscored:
        """Return a reward on the scale of rewards; any other score as it is."""
        if isinstance(score, Unscored) or f"{self._prefix}{name}" not in PERSPECTIVES:
            return score
        return rescaled(score, getattr(self._judge, "scales", {}).get(name, REWARDS))

    def _signed(self, score: Score | Unscored) -> Score | Unscored:
        return replace(score, version=score.version or self._judge.version)


def _run_of(cache: Path | None) -> str:
    """Return the name under which a run's budget and counts are kept."""
    place = "" if cache is None else str(cache.resolve())
    return f"judge-{content_hash(place.encode())[:16]}"


def _groups(samples: Iterable[SamplePair]) -> Iterator[list[SamplePair]]:
    """Yield the samples in groups that fit in memory."""
    held: list[SamplePair] = []
    weight = 0
    for each in samples:
        held.append(each)
        weight += each.weight
        if weight >= _BYTES:
            yield held
            held, weight = [], 0
    if held:
        yield held


def _asks(spec: Spec) -> bool:
    """Return whether the judge, or a member of its panel, asks a server."""
    asks = issubclass(settings_of("judge", spec.kind), ChatSettings)
    return asks or any(map(_asks, members_of(spec)))


def _paid(judge: Any) -> list[Any]:
    """Return the judge, or its panel members, that can estimate their cost."""
    members = getattr(judge, "members", None)
    if members is None:
        return [judge] if hasattr(judge, "estimate") else []
    return [each for member in members for each in _paid(member)]


def _in_run(spec: Spec, run: str) -> Spec:
    """Return the same judge, with its questions to a server counted in this run if it sets none.

    A panel shares the run with its members.
    """
    takes = "run" in settings_of("judge", spec.kind).model_fields
    return replace(spec, settings={"run": run, **spec.settings}) if takes else spec
