"""Facts of training data that decide what is learned: cut texts, lost edits, unread rewards.

They are part of a training's results and card; `notices` says them in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from editloop.schema import Json
from editloop.training.cache import off_scale, reward_text_of
from editloop.training.framing import Framing
from editloop.training.mirroring import Mirroring
from editloop.training.rows import PublishedRows

if TYPE_CHECKING:
    from editloop.models.backbones.texts import Texts

__all__ = ["Reading", "lost_edits", "notices", "reference_facts", "reward_facts", "text_facts"]

_EXAMPLES = 3  # cut texts that are listed
_AROUND = 40  # characters shown before and after a cut


@dataclass(frozen=True, slots=True)
class Reading:
    """How a training reads texts: its encoders, and what it does with words.

    `separator` joins reward texts; None without rewards. `mirroring` is None without mirroring.
    """

    texts: Texts
    separator: str | None = None
    mirroring: Mirroring | None = None


@dataclass(slots=True)
class _Cut:
    """The number of texts that encoders cut, and where the first of them are cut."""

    texts: Texts
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, name: str, text: str) -> None:
        kept = self.texts.kept(text)
        if kept < len(text):
            self.count += 1
            if self.count <= _EXAMPLES:
                before, after = text[max(0, kept - _AROUND) : kept], text[kept : kept + _AROUND]
                self.examples.append(f"{name}: ...{before} [cut here] {after}...")

    def facts(self, kind: str) -> dict[str, Json]:
        examples = {f"cut_{kind}_at": self.examples} if self.examples else {}
        return {f"cut_{kind}": self.count, **examples}


def text_facts(rows: PublishedRows, reading: Reading) -> dict[str, Json]:
    """Return facts of the texts and scores of all rows; no pictures are read."""
    instructions, rewards = _Cut(reading.texts), _Cut(reading.texts)
    unmirrored = outside = 0
    for sample in rows.stream(0, len(rows), pictures=False):
        instructions.add(sample.id, sample.instruction)
        if reading.separator is not None:
            rewards.add(sample.id, reward_text_of(sample, reading.separator))
            outside += len(off_scale(sample))
        if reading.mirroring is not None:
            unmirrored += not reading.mirroring.allows(sample)
    facts = instructions.facts("instructions")
    if reading.mirroring is not None:
        facts |= {"never_mirrored": unmirrored}
    if reading.separator is not None:
        facts |= rewards.facts("reward_texts") | {"scores_off_scale": outside}
    return facts | reference_facts(rows)


def reward_facts(rows: PublishedRows) -> dict[str, Json]:
    """Return the number of scores that are not on the scale of rewards, if there are any."""
    samples = rows.stream(0, len(rows), pictures=False)
    outside = sum(len(off_scale(sample)) for sample in samples)
    return {"scores_off_scale": outside} if outside else {}


def reference_facts(rows: PublishedRows) -> dict[str, Json]:
    """Return the number of samples with references, if there are any; no pictures are read."""
    count = rows.with_references()
    return {"references": count} if count else {}


def lost_edits(rows: PublishedRows, framing: Framing, most: int) -> tuple[int, int]:
    """Return how many of the first `most` edits lie mostly outside of their crop, and of how many.

    Errors as in `decoded`.
    """
    lost = [framing.of(sample).lost for sample in rows.stream(0, min(most, len(rows)))]
    return sum(lost), len(lost)


def notices(facts: Mapping[str, Json]) -> list[str]:
    """Return facts of a training's data in words, each in one line; zeros are left out."""
    return list(chain.from_iterable(_lines(facts)))


def _lines(facts: Mapping[str, Json]) -> Iterator[Sequence[str]]:
    for kind in ("instructions", "reward_texts"):
        if count := facts.get(f"cut_{kind}", 0):
            examples = "; ".join(facts[f"cut_{kind}_at"])
            words = kind.replace("_", " ")
            yield [f"{count} {words} are longer than the text encoder reads: {examples}"]
    if count := facts.get("references", 0):
        yield [f"{count} samples have references, which this training does not show the model"]
    if samples := facts.get("masked_of", 0):
        masks = facts["masked"]
        yield [f"{masks} of {samples} samples have a mask ({masks / samples:.1%}); the rest may "
               "change everywhere"]  # fmt: skip
    for reason, count in facts.get("dropped", {}).items():
        yield [f"{count} samples are dropped: {reason}"]
    if count := facts.get("lost_edits", 0):
        yield [
            f"{count} of {facts['lost_edits_of']} edits lie mostly outside of their crop and teach "
            "to change nothing: set crop: edit, buckets: true, or leave them out"
        ]
    if count := facts.get("never_mirrored", 0):
        yield [f"{count} edits are never mirrored: their words name a side, or text in the picture"]
    if count := facts.get("scores_off_scale", 0):
        yield [
            f"{count} scores outside 0 to 5 count as missing: declare their scale "
            "(`editloop import ... --scale LOW,HIGH`, or the judge's `scale`)"
        ]
