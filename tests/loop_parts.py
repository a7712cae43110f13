"""A trivial training and benchmark for tests of the loop."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from editloop.loop.parts import PartContext, PartResult
from editloop.settings import Settings as BaseSettings
from editloop.storage.samples import read_samples

MADE: list[str] = []  # the parts that were actually run, in order


class CountingSettings(BaseSettings):
    steps: int = 1
    interrupt: bool = False


class Counting:
    """A training that writes the number of samples it read."""

    Settings = CountingSettings
    version = "1"

    def __init__(self, settings: CountingSettings) -> None:
        self._settings = settings

    @property
    def parameters(self) -> Mapping[str, object]:
        return {"steps": self._settings.steps}

    def run(self, context: PartContext) -> PartResult:
        MADE.append(context.name)
        if self._settings.interrupt and not (context.work / "seen").exists():
            (context.work / "seen").touch()
            raise KeyboardInterrupt
        count = sum(1 for _ in read_samples(context.run / "data", "train"))
        (context.output / "model.json").write_text(json.dumps(count * self._settings.steps))
        return PartResult({"samples": count}, {"fast": 1.0})


class SlowingSettings(CountingSettings):
    learning_rate: float = 0.1


class Slowing(Counting):
    """A training that goes on at a lower rate, and tells whether it found earlier work."""

    Settings = SlowingSettings

    @property
    def parameters(self) -> Mapping[str, object]:
        return {"steps": self._settings.steps, "learning_rate": self._settings.learning_rate}

    def continues(self, before: Mapping[str, Any]) -> bool:
        slower = self._settings.learning_rate < before["learning_rate"]
        return slower and before["steps"] == self._settings.steps

    def run(self, context: PartContext) -> PartResult:
        resumed = (context.work / "seen").exists()
        super().run(context)
        return PartResult({"resumed": resumed, "learning_rate": self._settings.learning_rate})


class Growing(Counting):
    """A training that makes one file per step in its work folder, and goes on to more steps."""

    def continues(self, before: Mapping[str, Any]) -> bool:
        return self.extends(before)

    def extends(self, before: Mapping[str, Any]) -> bool:
        return before["steps"] < self._settings.steps

    def trim(self, work: Path) -> None:
        (work / "trimmed").touch()

    def run(self, context: PartContext) -> PartResult:
        MADE.append(context.name)
        for step in range(self._settings.steps):
            if not (context.work / str(step)).exists():
                if self._settings.interrupt and step == 2:
                    raise KeyboardInterrupt
                MADE.append(str(step))
                (context.work / str(step)).touch()
        (context.output / "model.json").write_text(json.dumps(self._settings.steps))
        return PartResult({"steps": self._settings.steps})


def interrupted(*_arguments: object, **_options: object) -> None:
    raise KeyboardInterrupt


class Benchmark(Counting):
    """A benchmark that reads the model written by the training."""

    def run(self, context: PartContext) -> PartResult:
        MADE.append(context.name)
        model = json.loads((context.run / "models" / "small" / "model.json").read_text())
        (context.output / "cases.json").write_text(json.dumps(model))
        score = {"mean": model, "low": model, "high": model, "count": 1, "coverage": 1.0}
        return PartResult({"evaluation": {"counting": {"small": {"l1": score}}}})


class Unscored(Counting):
    """A benchmark that has no number."""

    def run(self, context: PartContext) -> PartResult:
        (context.output / "cases.json").write_text("[]")
        score = {"mean": None, "reason": "the lights are off", "command": None}
        return PartResult({"evaluation": {"dark": {"small": {"l1": score}}}})
