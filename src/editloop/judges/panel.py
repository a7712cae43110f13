"""The judge `panel`: the median and spread of several judges, or of one judge asked repeatedly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from editloop.chat.client import CostEstimate
from editloop.chat.usage import ChatUsage
from editloop.errors import RecipeError, UnavailableError
from editloop.images.codec import content_hash
from editloop.judges.missing_verdicts import NO_VERDICT
from editloop.registry import Spec, parse_spec, settings_of
from editloop.schema import Cause, EditedPair, Json, Judge, Score, Unscored, Verdict, canonical_json
from editloop.settings import Settings as BaseSettings

if TYPE_CHECKING:
    from editloop.metrics.embeddings import Embeddings

__all__ = ["VERSION", "PanelJudge", "members_of"]

VERSION = "panel-1"


class PanelJudge:
    """A judge that asks every member and returns the median score and the majority's yes or no.

    A verdict also has `NAME_spread`: the highest minus the lowest score. Words are those of the
    member nearest to the median. Members without a score are not counted; with fewer scores than
    the quorum, the panel's score is missing. A tied vote gives neither yes nor no.
    """

    class Settings(BaseSettings):
        """The members of the panel, and their quorum."""

        judges: tuple[str | dict[str, Json], ...] = Field(
            min_length=1, description="SPECs of judges, or mappings with `kind`"
        )
        repeats: int = Field(
            default=1, ge=1, description="times that a judge, which must take `repeat`, is asked"
        )
        quorum: int | None = Field(
            default=None, ge=1, description="number of scores needed; more than half by default"
        )
        ledger: Path | None = Field(default=None, description="the ledger of members that set none")
        run: str | None = Field(
            default=None, description="the run, with a shared budget, of members that set none"
        )

        @field_validator("judges", mode="before")
        @classmethod
        def _is_a_list(cls, value: Json) -> Json:
            return value.split(",") if isinstance(value, str) else value

    def __init__(self, settings: PanelJudge.Settings) -> None:
        specs = [parse_spec(each, "judge") for each in settings.judges]
        self.members: tuple[Judge, ...] = tuple(
            each.create("judge") for spec in specs for each in _seats(spec, settings)
        )
        for member in self.members:
            if not hasattr(member, "judge"):
                raise RecipeError(
                    "a judge that compares two edits cannot be in a panel",
                    value=member.name,
                    fix="remove it from `judges`",
                )
        self._judges = _perspectives(self.members)
        self.scales = _scales(self.members)
        self._quorums = {
            name: settings.quorum or len(seats) // 2 + 1 for name, seats in self._judges.items()
        }
        for name, quorum in self._quorums.items():
            if quorum > len(self._judges[name]):
                raise RecipeError(
                    f"a panel cannot reach its quorum: only {len(self._judges[name])} judge {name}",
                    value=quorum,
                    fix="lower `quorum`, or add judges",
                )
        self.perspectives = tuple(self._judges)
        times = f" x{settings.repeats}" if settings.repeats > 1 else ""
        self.name = (
            f"panel of {', '.join(dict.fromkeys(each.name for each in self.members))}{times}"
        )
        seats = [[each.name, each.version] for each in self.members]
        content = canonical_json([seats, settings.quorum]).encode()
        self.version = f"{VERSION} {content_hash(content)[:12]}"

    @property
    def weights(self) -> tuple[str, ...]:
        """The names of the published weights that members load."""
        named = (name for each in self.members for name in getattr(each, "weights", ()))
        return tuple(dict.fromkeys(named))

    def missing(self) -> UnavailableError | None:
        """Return an error that names a member's missing weights, or None."""
        asked = (each.missing() for each in self.members if hasattr(each, "missing"))
        return next((error for error in asked if error is not None), None)

    def use(self, embeddings: Embeddings) -> None:
        """Share an embedding store with the members that use one."""
        for each in self.members:
            if hasattr(each, "use"):
                each.use(embeddings)

    @property
    def counts(self) -> ChatUsage:
        """The members' usage of models so far."""
        counts = (each.counts for each in self.members if hasattr(each, "counts"))
        return sum(counts, ChatUsage())

    def estimate(self, batch: Sequence[EditedPair]) -> CostEstimate:
        """Return the members' cost estimate; asks nothing."""
        estimates = (each.estimate(batch) for each in self.members if hasattr(each, "estimate"))
        return sum(estimates, CostEstimate())

    def close(self) -> None:
        """Close the members' connections; later questions are refused."""
        for each in self.members:
            if hasattr(each, "close"):
                each.close()

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        """Return one verdict of the whole panel for each pair."""
        columns = [member.judge(batch) for member in self.members]
        return [self._together(verdicts) for verdicts in zip(*columns, strict=True)]

    def _together(self, verdicts: Sequence[Verdict]) -> Verdict:
        together: dict[str, Score | Unscored] = {}
        for name, seats in self._judges.items():
            given = [verdicts[seat].get(name, NO_VERDICT) for seat in seats]
            scores = [each for each in given if isinstance(each, Score)]
            if len(scores) >= self._quorums[name]:
                together[name] = self._median(scores)
            else:
                together[name] = self._short(given, self._quorums[name])
            together[f"{name}_spread"] = self._spread(scores)
        return together

    def _median(self, scores: Sequence[Score]) -> Score:
        middle = median(each.value for each in scores)
        nearest = min(scores, key=lambda each: abs(each.value - middle))
        votes = [each.passed for each in scores if each.passed is not None]
        passed = None if 2 * sum(votes) == len(votes) else 2 * sum(votes) > len(votes)
        return Score(middle, passed, nearest.text, self.version)

    def _spread(self, scores: Sequence[Score]) -> Score | Unscored:
        if len(scores) < 2:
            return Unscored(
                "fewer than two of the panel gave a score", self.version, Cause.NO_ANSWER
            )
        values = [each.value for each in scores]
        return Score(max(values) - min(values), version=self.version)

    def _short(self, given: Sequence[Score | Unscored], quorum: int) -> Unscored:
        """Return a member's reason for a missing quorum, a transient one first."""
        missing = [each for each in given if isinstance(each, Unscored)]
        missing.sort(key=lambda each: each.cause.may_pass_later, reverse=True)
        scored = len(given) - len(missing)
        told = f"{missing[0].reason} (scored by {scored} of {len(given)}, {quorum} needed)"
        return replace(missing[0], reason=told, version=self.version)


def members_of(spec: Spec) -> list[Spec]:
    """Return the members of the panel that a SPEC names; empty for any other judge."""
    listed = spec.settings.get("judges", ())
    names = listed.split(",") if isinstance(listed, str) else listed
    return [parse_spec(name, "judge") for name in names]


def _seats(spec: Spec, settings: PanelJudge.Settings) -> list[Spec]:
    """Return one SPEC for each time that a judge is asked, with different `repeat` settings."""
    takes = settings_of("judge", spec.kind).model_fields
    shared = {"ledger": settings.ledger, "run": settings.run}
    own: dict[str, Json] = {
        key: each for key, each in shared.items() if each is not None and key in takes
    }
    own |= spec.settings
    if settings.repeats == 1:
        return [Spec(spec.name, spec.kind, own)]
    if "repeat" not in takes:
        raise RecipeError(
            "this judge cannot be asked repeatedly", value=spec.name, fix="leave `repeats` at 1"
        )
    first = int(own.get("repeat", 0))
    return [
        Spec(spec.name, spec.kind, {**own, "repeat": first + number})
        for number in range(settings.repeats)
    ]


def _scales(members: Sequence[Judge]) -> dict[str, tuple[float, float]]:
    """Return the members' scales; raises RecipeError if two differ for one perspective."""
    scales: dict[str, tuple[float, float]] = {}
    for member in members:
        for name, scale in getattr(member, "scales", {}).items():
            if scales.setdefault(name, scale) != scale:
                (low, high), (other_low, other_high) = scales[name], scale
                raise RecipeError(
                    f"a panel cannot have two scales of {name}: {low:g} to {high:g}, and "
                    f"{other_low:g} to {other_high:g}",
                    value=member.name,
                    fix="give all members rubrics of the same scale",
                )
    return scales


def _perspectives(members: Sequence[Judge]) -> Mapping[str, list[int]]:
    """Return the indices of the members that judge each perspective."""
    seats: dict[str, list[int]] = {}
    for seat, member in enumerate(members):
        for name in member.perspectives:
            seats.setdefault(name, []).append(seat)
    return seats
