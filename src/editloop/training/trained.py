"""The result of a training, and the facts of it for results and cards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from editloop.schema import Json

__all__ = [
    "Checkpoint",
    "Trained",
    "best_of",
    "checkpoint_name",
    "course",
    "course_text",
    "trained_facts",
]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A step that a checkpoint was kept of, with its losses as in the metrics."""

    step: int
    loss: float
    validation_loss: float | None


@dataclass(frozen=True, slots=True)
class Trained:
    """The result of a training: its kept checkpoints, and the steps and seconds of this process.

    The last checkpoint is the trained network. `learning_rates` lists (first step, rate); it has
    several entries if the rate was lowered when the training was resumed. `cosines` lists (first
    step, steps that the cosine spans) of a cosine schedule; several if the training was extended.
    """

    checkpoints: tuple[Checkpoint, ...]
    steps: int
    seconds: float
    learning_rates: tuple[tuple[int, float], ...]
    cosines: tuple[tuple[int, int], ...] = ()

    @property
    def loss(self) -> float:
        """The mean loss since the previous line of the metrics."""
        return self.checkpoints[-1].loss

    @property
    def validation_loss(self) -> float | None:
        """The validation loss at the end; None without held-out samples."""
        return self.checkpoints[-1].validation_loss


def best_of(checkpoints: Iterable[Checkpoint]) -> Checkpoint | None:
    """Return the first checkpoint with the lowest validation loss; None if none was validated."""
    losses = {
        each: each.validation_loss for each in checkpoints if each.validation_loss is not None
    }
    return min(losses, key=losses.__getitem__, default=None)


def trained_facts(trained: Trained) -> dict[str, Json]:
    """Return the losses, and what there is several of: checkpoints, rates, cosines."""
    facts: dict[str, Json] = {
        "final_loss": trained.loss,
        "validation_loss": trained.validation_loss,
    }
    if len(trained.checkpoints) > 1:
        facts["checkpoints"] = [each.step for each in trained.checkpoints]
        best = best_of(trained.checkpoints)
        if best is not None:
            facts["best_checkpoint"] = best.step
            facts["best_validation_loss"] = best.validation_loss
    for name in ("learning_rates", "cosines"):
        changes = [list(each) for each in getattr(trained, name)]
        if len(changes) > 1:
            facts[name] = changes
    return facts


def checkpoint_name(step: int) -> str:
    """Return the folder of a step's editor within the folder of a trained model."""
    return f"checkpoints/step-{step:08d}"


def course(facts: Mapping[str, Json]) -> Iterator[str]:
    """Yield in words how a training's course is unlike that of one asked for at once."""
    for step, total in facts.get("cosines", [])[1:]:
        yield (
            f"from step {step:,} on, the learning rate follows the cosine of {total:,} steps; a "
            f"training that is asked for {total:,} steps at once has other rates before"
        )


def course_text(facts: Mapping[str, Json]) -> str:
    """Return the section of a model card on its checkpoints and its course; "" without any."""
    lines = [f"- {line}" for line in course(facts)]
    if "checkpoints" in facts:
        steps = ", ".join(f"{step:,}" for step in facts["checkpoints"])
        lines.append(f"- `checkpoints/` has the editors of steps {steps}; the last is this model")
    if "best_checkpoint" in facts:
        name, loss = checkpoint_name(facts["best_checkpoint"]), facts["best_validation_loss"]
        lines.append(f"- the best of them by validation is `{name}`, with a loss of {loss:.4g}")
    return "\n## Checkpoints\n\n{}\n".format("\n".join(lines)) if lines else ""
