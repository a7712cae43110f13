"""The judge `panel`: several judges, or one judge several times; the median, and how far apart."""

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
from editloop.registry import Spec, load, parse_spec
from editloop.schema import Cause, EditedPair, Json, Judge, Score, Unscored, Verdict, canonical_json
from editloop.settings import Settings as BaseSettings

if TYPE_CHECKING:
    from editloop.metrics.embeddings import Embeddings

__all__ = ["VERSION", "PanelJudge", "members_of"]

VERSION = "panel-1"

_NOTHING = Unscored("the judge gave no verdict on it", cause=Cause.NO_ANSWER)


class PanelJudge:
    """Asks every member and gives the median score and what the majority says, yes or no.

    A verdict also has `NAME_spread`: the highest less the lowest score. Words are those of the
    member nearest to the median. Who gives no score does not count; where fewer than the quorum
    give one, the panel gives none. Votes that are even say neither yes nor no.
    """

    class Settings(BaseSettings):
        """Who sits on the panel."""

        judges: tuple[str | dict[str, Json], ...] = Field(
            min_length=1, description="SPECs of judges, or mappings with `kind`"
        )
        repeats: int = Field(
            default=1, ge=1, description="how often each is asked; a judge must then take `repeat`"
        )
        quorum: int | None = Field(
            default=None, ge=1, description="scores needed; by default more than half"
        )
        ledger: Path | None = Field(
            default=None, description="where replies are kept, of members that do not say"
        )
        run: str | None = Field(
            default=None, description="whose budget is shared, of members that do not say"
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
                    "a judge that compares two edits has no seat on a panel",
                    value=member.name,
                    fix="leave it out",
                )
        self._judges = _perspectives(self.members)
        self.scales = _scales(self.members)
        self._quorums = {
            name: settings.quorum or len(seats) // 2 + 1 for name, seats in self._judges.items()
        }
        for name, quorum in self._quorums.items():
            if quorum > len(self._judges[name]):
                raise RecipeError(
                    f"a panel cannot have its quorum: {len(self._judges[name])} of it judge {name}",
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
        """What a member's weights lack on this machine, or None."""
        asked = (each.missing() for each in self.members if hasattr(each, "missing"))
        return next((error for error in asked if error is not None), None)

    def use(self, embeddings: Embeddings) -> None:
        """Share a store of embeddings with the members that use one."""
        for each in self.members:
            if hasattr(each, "use"):
                each.use(embeddings)

    @property
    def counts(self) -> ChatUsage:
        """What members asked of models so far."""
        counts = (each.counts for each in self.members if hasattr(each, "counts"))
        return sum(counts, ChatUsage())

    def plan(self, batch: Sequence[EditedPair]) -> CostEstimate:
        """What members would ask of models; asks nothing."""
        plans = (each.plan(batch) for each in self.members if hasattr(each, "plan"))
        return sum(plans, CostEstimate())

    def close(self) -> None:
        """Close the members' connections; whoever asks after that is refused."""
        for each in self.members:
            if hasattr(each, "close"):
                each.close()

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        """A verdict a pair, by all members."""
        columns = [member.judge(batch) for member in self.members]
        return [self._together(verdicts) for verdicts in zip(*columns, strict=True)]

    def _together(self, verdicts: Sequence[Verdict]) -> Verdict:
        together: dict[str, Score | Unscored] = {}
        for name, seats in self._judges.items():
            given = [verdicts[seat].get(name, _NOTHING) for seat in seats]
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
        """Why there is no quorum: in the words of a member, of one who may yet answer if any."""
        missing = [each for each in given if isinstance(each, Unscored)]
        missing.sort(key=lambda each: each.cause.may_pass_later, reverse=True)
        scored = len(given) - len(missing)
        told = f"{missing[0].reason} (scored by {scored} of {len(given)}, {quorum} needed)"
        return replace(missing[0], reason=told, version=self.version)


def members_of(spec: Spec) -> list[Spec]:
    """The judges that sit on the panel which a SPEC names; none where it names no panel."""
    listed = spec.settings.get("judges", ())
    names = listed.split(",") if isinstance(listed, str) else listed
    return [parse_spec(name, "judge") for name in names]


def _seats(spec: Spec, settings: PanelJudge.Settings) -> list[Spec]:
    """The same judge as often as it is asked; each repeat is a question of its own."""
    takes = load("judge", spec.kind).Settings.model_fields
    shared = {"ledger": settings.ledger, "run": settings.run}
    own: dict[str, Json] = {
        key: each for key, each in shared.items() if each is not None and key in takes
    }
    own |= spec.settings
    if settings.repeats == 1:
        return [Spec(spec.name, spec.kind, own)]
    if "repeat" not in takes:
        raise RecipeError(
            "this judge says the same each time", value=spec.name, fix="leave `repeats` at 1"
        )
    first = int(own.get("repeat", 0))
    return [
        Spec(spec.name, spec.kind, {**own, "repeat": first + number})
        for number in range(settings.repeats)
    ]


def _scales(members: Sequence[Judge]) -> dict[str, tuple[float, float]]:
    """The scales that members tell; a median needs one for all."""
    scales: dict[str, tuple[float, float]] = {}
    for member in members:
        for name, scale in getattr(member, "scales", {}).items():
            if scales.setdefault(name, scale) != scale:
                (low, high), (other_low, other_high) = scales[name], scale
                raise RecipeError(
                    f"a panel cannot have two scales of {name}: {low:g} to {high:g}, and "
                    f"{other_low:g} to {other_high:g}",
                    value=member.name,
                    fix="give its judges rubrics of one scale",
                )
    return scales


def _perspectives(members: Sequence[Judge]) -> Mapping[str, list[int]]:
    """Who judges what: the seats of each perspective."""
    seats: dict[str, list[int]] = {}
    for seat, member in enumerate(members):
        for name in member.perspectives:
            seats.setdefault(name, []).append(seat)
    return seats
