"""Small sources and steps that the kernel's tests build with, here or in worker processes."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from editloop.errors import FailureClass, ImageError, UnavailableError
from editloop.kernel.steps import Drop, Fail, Keep, Outcome, Resource, SourceItem, StepContext
from editloop.kernel.tasks import StepSpec
from editloop.schema import EditSample, Image, Json, Provenance
from editloop.settings import Settings

__all__ = ["ListSource", "MixedStep", "part", "picture", "source", "step"]


def picture(name: str, size: int) -> Image:
    """Return incompressible bytes that depend only on a name."""
    block = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return Image((block * (size // 32 + 1))[:size], f"{name}.png")


class _Part:
    """The base of the sources and steps of these tests."""

    version = "1"
    needs: frozenset[str] = frozenset()
    adds: frozenset[str] = frozenset()
    resource = Resource.CPU

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.seed = 0

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def parameters(self) -> Mapping[str, Json]:
        return self.settings.model_dump(mode="json")

    def setup(self, context: StepContext) -> None:
        self.seed = context.seed


class ListSource(_Part):
    """Lists `count` items a split, or the ids it is given; the ids in `broken` fail to load.

    The lines of the file `listing`, if it is named, are the ids, as a folder's files would be.
    """

    class Settings(Settings):
        count: Mapping[str, int] = {"train": 8}
        ids: tuple[str, ...] = ()
        listing: str = ""
        broken: tuple[str, ...] = ()
        bytes: int = 300

    settings: Settings

    def items(self) -> Iterator[SourceItem]:
        ids: Sequence[str] = self.settings.ids
        if self.settings.listing:
            ids = Path(self.settings.listing).read_text("utf-8").splitlines()
        for split, count in self.settings.count.items():
            for name in ids or (f"{split}/{index:04d}" for index in range(count)):
                yield SourceItem(name, split, f"list:{name}", {"size": self.settings.bytes})

    def load(self, items: Sequence[SourceItem]) -> list[Outcome]:
        return [self._load(item) for item in items]

    def _load(self, item: SourceItem) -> Outcome:
        if item.id in self.settings.broken:
            return Fail("truncated", FailureClass.PERMANENT, "half a file")
        made = Provenance("list", "1", parameters=item.parameters, source_uri=item.uri)
        return Keep((EditSample(item.id, picture(item.id, self.settings.bytes), provenance=made),))


class MixedStep(_Part):
    """Answers by hash of id and seed: keeps as one or two samples, drops, or fails."""

    adds = frozenset({"target", "instruction"})

    class Settings(Settings):
        drops: int = 5  # drop about one in this many; 0 drops none
        fails: int = 7
        splits: int = 3
        label: str = ""

    settings: Settings

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        return [self._answer(sample) for sample in batch]

    def _answer(self, sample: EditSample) -> Outcome:
        drawn = hashlib.sha256(f"{self.seed}{self.settings.label}{sample.id}".encode()).digest()
        if self.settings.drops and drawn[0] % self.settings.drops == 0:
            return Drop(("too dark", "too small")[drawn[1] % 2])
        if self.settings.fails and drawn[2] % self.settings.fails == 0:
            return Fail("refused", FailureClass.POLICY, f"no: {sample.id}")
        several = self.settings.splits and drawn[3] % self.settings.splits == 0
        names = [f"{sample.id}/{index}" for index in range(2)] if several else [sample.id]
        size = len(sample.source.bytes)
        return Keep(
            tuple(
                replace(
                    sample,
                    id=name,
                    instruction=f"{self.settings.label}edit {name}",
                    target=picture(f"{self.seed}{name}", size),
                )
                for name in names
            )
        )


class NetworkStep(MixedStep):
    """The same step in its own segment."""

    resource = Resource.NETWORK


class MarkStep(_Part):
    """Adds a word to the instruction of each sample."""

    class Settings(Settings):
        word: str = "!"

    settings: Settings

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        word = self.settings.word
        return [Keep((replace(row, instruction=row.instruction + word),)) for row in batch]


class TroubleStep(_Part):
    """Misbehaves on the samples whose id ends with a key of `on`.

    Troubles that wait for the outside (`flaky`, `once`) look for a file in `folder`.
    """

    class Settings(Settings):
        on: Mapping[str, str] = {}
        folder: str = ""

    settings: Settings

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for sample in batch:
            ending = next((end for end in self.settings.on if sample.id.endswith(end)), None)
            trouble = "" if ending is None else self.settings.on[ending]
            if trouble == "too many":
                outcomes.append(Keep((sample,)))
            outcomes.append(getattr(self, "_" + (trouble or "fine").replace(" ", "_"))(sample))
        return outcomes

    def _fine(self, sample: EditSample) -> Outcome:
        return Keep((sample,))

    _too_many = _fine

    def _raise(self, sample: EditSample) -> Outcome:
        raise ValueError(f"cannot take {sample.id}")

    def _exit(self, _: EditSample) -> Outcome:
        raise SystemExit(0)

    def _memory(self, _: EditSample) -> Outcome:
        raise MemoryError

    def _image(self, sample: EditSample) -> Outcome:
        raise ImageError("pixel-bomb", "too many pixels", value=sample.id)

    def _unavailable(self, _: EditSample) -> Outcome:
        raise UnavailableError("no weights", command="fetch them")

    def _nothing(self, _: EditSample) -> Outcome:
        return Keep(())

    def _none(self, _: EditSample) -> Outcome:
        return None  # type: ignore[return-value]

    def _twice(self, sample: EditSample) -> Outcome:
        return Keep((sample, sample))

    def _steal(self, sample: EditSample) -> Outcome:
        return Keep((replace(sample, id=f"{sample.id[:-1]}0"),))

    def _surrogate(self, sample: EditSample) -> Outcome:
        return Keep((replace(sample, instruction="\ud800"),))

    def _bad_id(self, sample: EditSample) -> Outcome:
        return Keep((replace(sample, id="\ud800"),))

    def _kill(self, sample: EditSample) -> Outcome:
        os.kill(os.getpid(), signal.SIGKILL)
        return Keep((sample,))

    def _hang(self, sample: EditSample) -> Outcome:
        threading.Event().wait()
        return Keep((sample,))

    def _flaky(self, sample: EditSample) -> Outcome:
        if Path(self.settings.folder, "up").exists():
            return Keep((sample,))
        return Fail("time-out", FailureClass.TRANSIENT, "no answer")

    def _kill_once(self, sample: EditSample) -> Outcome:
        mark = Path(self.settings.folder, "killed")
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Keep((sample,))


class CrowdStep(_Part):
    """Kills its worker on a batch of more than `most` samples, as running out of memory would."""

    class Settings(Settings):
        most: int = 1

    settings: Settings

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        if len(batch) > self.settings.most:
            os.kill(os.getpid(), signal.SIGKILL)
        return [Keep((sample,)) for sample in batch]


class NeedyStep(_Part):
    """Needs a mask, and declares a caption in `adds` that it never sets."""

    needs = frozenset({"mask"})
    adds = frozenset({"target_caption"})

    class Settings(Settings):
        pass

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        return [Keep((sample,)) for sample in batch]


def part(group: str, kind: str, name: str = "", **settings: Json) -> StepSpec:
    """Return the spec of a source or step of this module by its class name."""
    return StepSpec(group, name or kind, f"{__name__}:{kind}", settings)


def source(name: str = "list", **settings: Json) -> StepSpec:
    return part("source", "ListSource", name, **settings)


def step(kind: str = "MixedStep", name: str = "", **settings: Json) -> StepSpec:
    return part("build", kind, name, **settings)
