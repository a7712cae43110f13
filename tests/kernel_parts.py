"""Small sources and steps that the kernel's tests build with, here or in worker processes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from editloop.errors import FailureClass, ImageError, UnavailableError
from editloop.kernel.resources import NETWORK, Resources
from editloop.kernel.steps import Drop, Fail, Keep, Outcome, SourceItem, StepContext
from editloop.kernel.tasks import StepSpec
from editloop.schema import Attempt, EditOutcome, EditSample, Image, Json, Provenance
from editloop.settings import Settings

__all__ = ["ListSource", "MixedStep", "logged", "part", "picture", "source", "step"]


def picture(name: str, size: int) -> Image:
    """Return incompressible bytes that depend only on a name."""
    block = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return Image((block * (size // 32 + 1))[:size], f"{name}.png")


class _Part:
    """The base of the sources and steps of these tests."""

    version = "1"
    needs: frozenset[str] = frozenset()
    adds: frozenset[str] = frozenset()

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


class AttemptStep(_Part):
    """Makes two candidates of each sample and keeps the second; of those in `hopeless`, none."""

    class Settings(Settings):
        hopeless: tuple[str, ...] = ()
        chosen: bool = True  # whether the attempt that is marked as chosen is the one kept
        half: bool = False  # whether the reasons hold half a character

    settings: Settings

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        return list(map(self._outcome, batch))

    def _outcome(self, sample: EditSample) -> Outcome:
        reference = picture("reference", 64)
        first = replace(sample, id=f"{sample.id}/0", parent_id=sample.id, target=sample.source)
        kept = replace(sample, target=picture("target", 64), references=(reference,))
        reason = "half \ud800 a character" if self.settings.half else "nothing changed"
        wrong = Attempt(first, EditOutcome.UNCHANGED, 1, cost=0.5, reason=reason)
        if sample.id in self.settings.hopeless:
            return Drop("no attempt passed", (wrong,))
        marked = kept if self.settings.chosen else first
        return Keep((kept,), (wrong, Attempt(marked, EditOutcome.EDITED, 2, chosen=True)))


class BlankSource(ListSource):
    """Lists samples that have no picture yet."""

    def _load(self, item: SourceItem) -> Outcome:
        return Keep((EditSample(item.id, None, "a cat on a roof"),))


class PaintStep(_Part):
    """Gives every sample its source picture."""

    adds = frozenset({"source"})

    class Settings(Settings):
        pass

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        return [Keep((replace(sample, source=picture(sample.id, 64)),)) for sample in batch]


class BestStep(_Part):
    """Keeps the last sample of each group (`GROUP-NUMBER`), and writes the groups that it got.

    Samples that end with `bad` make it raise, those that end with `kill` kill its worker.
    """

    class Settings(Settings):
        log: str
        bad: str = "none"
        kill: str = "none"

    settings: Settings

    def group(self, sample: EditSample) -> str:
        return sample.id.rpartition("/")[2].partition("-")[0]

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        groups: dict[str, list[str]] = {}
        for sample in batch:
            groups.setdefault(self.group(sample), []).append(sample.id)
        with Path(self.settings.log).open("a") as file:
            file.write(f"{json.dumps(groups)}\n")
        if any(sample.id.endswith(self.settings.kill) for sample in batch):
            os.kill(os.getpid(), signal.SIGKILL)
        if any(sample.id.endswith(self.settings.bad) for sample in batch):
            raise ValueError("cannot take this group")
        return [self._answer(sample, groups[self.group(sample)]) for sample in batch]

    def _answer(self, sample: EditSample, group: list[str]) -> Outcome:
        if sample.id != max(group):
            return Drop("not the best")
        return Keep((replace(sample, instruction=f"best of {len(group)}"),))


class RankStep(BestStep):
    """Keeps every sample, and writes the size of its group into it."""

    def _answer(self, sample: EditSample, group: list[str]) -> Outcome:
        return Keep((replace(sample, instruction=f"one of {len(group)}"),))


class HalvesStep(BestStep):
    """Keeps the better half of the two halves of all inputs, `ID/0` and `ID/1`."""

    def group(self, sample: EditSample) -> str:
        return sample.id[-1]

    def _answer(self, sample: EditSample, _: list[str]) -> Outcome:
        return Keep((sample,)) if sample.id.endswith("1") else Drop("not the best")


class NamelessStep(BestStep):
    """Names no groups."""

    def group(self, _: EditSample) -> str:
        return None  # type: ignore[return-value]


class PairSource(ListSource):
    """Lists three candidates of each item, whose groups have the same name in all splits."""

    def items(self) -> Iterator[SourceItem]:
        for split, count in self.settings.count.items():
            for index in range(3 * count):
                name = f"{split}/{index % count:02d}-{index // count}"
                yield SourceItem(name, split, f"list:{name}", {})


class NeedyBestStep(BestStep):
    """Needs the targets of the whole group."""

    needs = frozenset({"target"})


class DropTargetStep(_Part):
    """Removes the target of the samples that end with `on`."""

    class Settings(Settings):
        on: str

    settings: Settings

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        end = self.settings.on
        return [
            Keep((replace(each, target=None) if each.id.endswith(end) else each,)) for each in batch
        ]


class NetworkStep(MixedStep):
    """The same step in its own segment."""

    resources = NETWORK


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


class PatientStep(TroubleStep):
    """Misbehaves too, and states its own deadline."""

    class Settings(TroubleStep.Settings):
        deadline: float

    settings: Settings

    @property
    def deadline(self) -> float:
        return self.settings.deadline


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


class LoggedStep(_Part):
    """Writes its setup, its close and each sample into `log`, and meets other steps there.

    A sample whose id is a key of `meets` waits until the log holds that line.
    """

    class Settings(Settings):
        log: str
        word: str = "step"
        cpus: int = 1
        gpus: int = 0
        network: bool = False
        gpu_optional: bool = False
        deadline: float | None = None
        seconds: float = 0.0  # of each sample
        meets: Mapping[str, str] = {}
        reads_split: bool = False

    settings: Settings

    @property
    def resources(self) -> Resources:
        own = self.settings
        return Resources(own.cpus, own.gpus, own.network, own.gpu_optional)

    @property
    def deadline(self) -> float | None:
        return self.settings.deadline

    def setup(self, context: StepContext) -> None:
        self._device = context.device
        split = f" {context.split}" if self.settings.reads_split else ""
        self._log(f"setup{split}")

    def close(self) -> None:
        self._log("close")

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        return list(map(self._answer, batch))

    def _answer(self, sample: EditSample) -> Outcome:
        self._log(sample.id)
        threading.Event().wait(self.settings.seconds)
        line = self.settings.meets.get(sample.id)
        if line is not None:
            self._wait(line)
        return Keep((sample,))

    def _wait(self, line: str) -> None:
        for _ in range(3000):
            if any(each.startswith(line) for each in logged(Path(self.settings.log))):
                return
            threading.Event().wait(0.02)
        raise TimeoutError(f"nobody wrote {line!r}")

    def _log(self, what: str) -> None:
        thread = threading.get_ident()
        line = f"{self.settings.word} {what} | {os.getpid()}-{thread} {self._device}\n"
        with Path(self.settings.log).open("a") as file:
            file.write(line)


def logged(log: Path) -> list[str]:
    """Return the lines of the log of `LoggedStep`."""
    return log.read_text().splitlines() if log.exists() else []


def part(group: str, kind: str, name: str = "", **settings: Json) -> StepSpec:
    """Return the spec of a source or step of this module by its class name."""
    return StepSpec(group, name or kind, f"{__name__}:{kind}", settings)


def source(name: str = "list", kind: str = "ListSource", **settings: Json) -> StepSpec:
    return part("source", kind, name, **settings)


def step(kind: str = "MixedStep", name: str = "", **settings: Json) -> StepSpec:
    return part("build", kind, name, **settings)
