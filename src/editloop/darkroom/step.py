"""The build step `darkroom`: make edits with known truth, masks, texts and rewards from photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import Field, field_validator

from editloop.darkroom.develop import GENERATOR, REVISION, Rendered, Wrong, faulty, write_record
from editloop.darkroom.faults import Occasion, draw_faults
from editloop.darkroom.language.phrases import caption, instruction, inverse
from editloop.darkroom.operations import OPERATIONS
from editloop.darkroom.plans import PlannedTurn
from editloop.darkroom.regions import is_whole
from editloop.darkroom.rewards import rewards
from editloop.darkroom.scene import SMALLEST, Darkroom
from editloop.darkroom.sessions import draw_session
from editloop.errors import did_you_mean
from editloop.images.codec import decode, encode_png
from editloop.kernel.steps import Drop, Keep, Outcome, StepContext
from editloop.runtime.seeding import derive_seed, generator
from editloop.schema import EditSample, Image, Json, Mask, Pixels, Provenance
from editloop.settings import Settings as BaseSettings

__all__ = ["DarkroomSettings", "DarkroomStep"]


class DarkroomSettings(BaseSettings):
    """The edits to make from each photo; rates and shares are per split, 0 for a missing split."""

    operations: tuple[str, ...] = Field(default=(), description="names of operations; empty: all")
    edits_per_photo: int = Field(default=1, ge=1)
    fault_rate: dict[str, float] = Field(default={"train": 0.6})
    session_share: dict[str, float] = Field(default={}, description="photos with a session")
    session_turns: int = Field(default=3, ge=1, le=4)

    @field_validator("operations")
    @classmethod
    def _are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in OPERATIONS:
                guess = did_you_mean(name, OPERATIONS)
                raise ValueError(f"no operation {name!r}: {guess}`editloop operations` lists them")
        return names

    @field_validator("fault_rate", "session_share")
    @classmethod
    def _are_shares(cls, shares: dict[str, float]) -> dict[str, float]:
        for split, share in shares.items():
            if not 0 <= share <= 1:
                raise ValueError(f"{split}: a share must be in 0..1, not {share}")
        return shares


class DarkroomStep:
    """Make single edits, or a session, from each photo.

    Edits depend on the photo's id without its split, so a split that repeats another's photos
    repeats its edits, with or without faults. In a session every turn starts from the fault-free
    picture of the previous turn, even if that turn's stored target has faults.
    """

    Settings = DarkroomSettings
    name = "darkroom"
    version = REVISION
    needs = frozenset({"source"})
    adds = frozenset(
        {
            "target",
            "mask",
            "edit_type",
            "source_caption",
            "target_caption",
            "inverse_instruction",
            "provenance",
        }
    )

    def __init__(self, settings: DarkroomSettings) -> None:
        self._settings = settings
        self._names = settings.operations or tuple(OPERATIONS)
        self._context = StepContext(seed=0, split="train")

    @property
    def parameters(self) -> Mapping[str, Json]:
        return self._settings.model_dump(mode="json")

    def setup(self, context: StepContext) -> None:
        self._context = context

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        return [self._make(sample) for sample in batch]

    def _make(self, sample: EditSample) -> Outcome:
        photo = decode(sample.source_image.bytes)
        if min(photo.shape[:2]) < SMALLEST:
            return Drop(f"smaller than {SMALLEST} pixels")
        seed = derive_seed(self._context.seed, "darkroom", _without_split(sample.id, self._context))
        share = self._settings.session_share.get(self._context.split, 0.0)
        darkroom = Darkroom(photo)
        if generator(seed, "session").random() < share:
            made = self._session(sample, darkroom, seed)
        else:
            made = self._singles(sample, darkroom, seed)
        return Keep(tuple(made)) if made else Drop("no edit would be visible")

    def _session(self, sample: EditSample, darkroom: Darkroom, seed: int) -> list[EditSample]:
        turns = draw_session(darkroom, self._names, self._settings.session_turns, seed)
        session = f"{sample.id}/session"
        return [
            replace(
                self._finish(sample, darkroom, turn, number, derive_seed(seed, number)),
                id=f"{session}/{number}",
                session=session,
            )
            for number, turn in enumerate(turns, start=1)
        ]

    def _singles(self, sample: EditSample, darkroom: Darkroom, seed: int) -> list[EditSample]:
        made = []
        for index in range(self._settings.edits_per_photo):
            own = derive_seed(seed, "single", index)
            for turn in draw_session(darkroom, self._names, 1, own):
                edit = self._finish(sample, darkroom, turn, 1, own)
                made.append(replace(edit, id=f"{sample.id}/{index}"))
        return made

    def _finish(
        self,
        sample: EditSample,
        darkroom: Darkroom,
        developed: tuple[PlannedTurn, Rendered],
        number: int,
        seed: int,
    ) -> EditSample:
        """Return one edit as a sample, with faults at the rate of its split."""
        turn, rendered = developed
        wrong = Wrong(darkroom, turn, seed)
        occasion = Occasion(turn.edit_type, turn.subject, is_whole(rendered.mask), frozenset(wrong))
        rate = self._settings.fault_rate.get(self._context.split, 0.0)
        faults = draw_faults(rate, generator(seed, "faults"), occasion)
        target = faulty(rendered, faults, wrong, seed) if faults else rendered.target
        words = generator(seed, "words")
        return replace(
            sample,
            source=_stored(rendered.source, "source"),
            target=_stored(target, "target"),
            mask=_stored(rendered.mask, "mask"),
            instruction=instruction(turn, words),
            inverse_instruction=inverse(turn, words),
            source_caption=caption(sample.source_caption, turn.before),
            target_caption=caption(sample.source_caption, turn.after),
            edit_type=turn.edit_type,
            edit_object=turn.subject,
            turn=number,
            parent_id=sample.id,
            scores=rewards(faults),
            provenance=_provenance(sample.provenance, seed, write_record(turn, number, faults)),
        )


def _without_split(name: str, context: StepContext) -> str:
    """Return an id without its split, which is the second part of `source/split/...`."""
    parts = name.split("/")
    if len(parts) > 2 and parts[1] == context.split:
        del parts[1]
    return "/".join(parts)


def _stored(pixels: Pixels | Mask, name: str) -> Image:
    return Image(encode_png(pixels), f"{name}.png")


def _provenance(photo: Provenance | None, seed: int, record: Mapping[str, Json]) -> Provenance:
    """Return the photo's provenance, extended by the record of the edit."""
    photo = photo or Provenance(generator="", revision="")
    return replace(
        photo,
        generator=GENERATOR,
        revision=REVISION,
        seed=seed,
        parameters={**photo.parameters, **record},
    )
