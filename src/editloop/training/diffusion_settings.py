"""The settings of a recipe's train part `diffusion`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from editloop.errors import RecipeError
from editloop.models.backbones.base_request import NewWeights, Wanted
from editloop.models.backbones.families import FAMILIES
from editloop.models.backbones.model import CONDITIONS, DiffusionModel, Lora
from editloop.models.reward import RewardSettings
from editloop.settings import Settings
from editloop.training.framing import Crop, Framing
from editloop.training.mask_facts import TrainingMasks
from editloop.training.objective import DropRates, FlowLoss, Objective, Weighting
from editloop.training.schedule import LearningRateSchedule, Optimiser, OptimiserName, Schedule

__all__ = ["DiffusionTrainingSettings", "DropSettings", "LoraSettings", "OptimiserSettings"]

_SIDES = 64  # sides of buckets are multiples of this
_OF_THE_MACHINE = {
    "micro_batch",
    "compile",
    "keep",
    "trackers",
    "samples",
    "data",
    "checkpoint_every",
    "log_every",
}


class LoraSettings(Settings):
    """Low-rank adapters on a frozen base; `alpha` defaults to the rank."""

    rank: int = Field(default=16, ge=1)
    alpha: int | None = Field(default=None, ge=1)


class OptimiserSettings(Settings):
    """The AdamW optimiser; `adamw-8bit` keeps its moments in 8 bits and needs bitsandbytes."""

    kind: OptimiserName = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(default=1e-2, ge=0)
    clip: float = Field(default=1.0, gt=0)


class DropSettings(Settings):
    """Dropout probabilities of the instruction, the source, both, and all rewards of a sample.

    Left out, the first three are those of the base's family.
    """

    text: float | None = Field(default=None, ge=0, le=1)
    source: float | None = Field(default=None, ge=0, le=1)
    both: float | None = Field(default=None, ge=0, le=1)
    reward: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _leaves_something(self) -> DropSettings:
        most = self.rates(max(family.dropout for family in FAMILIES.values()))
        if most.text + most.source + most.both > 1:
            raise ValueError("the sum of text, source and both is more than 1")
        return self

    def rates(self, usual: float) -> DropRates:
        """Return the probabilities, with a family's `usual` one where none is set."""
        text, both, source = (
            usual if each is None else each for each in (self.text, self.both, self.source)
        )
        return DropRates(text, both, source, self.reward, mask_with_source=True)


class DiffusionTrainingSettings(TrainingMasks):
    """A base, its conditions, and how it is trained.

    Defaults are InstructPix2Pix's, except those of dropout, which are the base's family's.

    data: a run's folder (from `editloop run` or `import`) to train on, or several, whose edits are
    mixed; default: this run's own. draw: an epoch has every sample, or one random sample of each
    prompt, which are those with the same instruction and captions (InstructPix2Pix's pairs).
    size: the side of the square in pixels; with `buckets`, of a square of the same area. crop:
    around the edited region, or the centre (without a cache: anywhere). flip: half of the edits are
    mirrored, but none whose words name a side or text; side_words are further such words.
    soft_masks: the range of s, sampled for each mask (UltraEdit, equation 2); default: hard masks.
    mask_rule, invert_mask: where masks allow editing; black_masks: whether edits whose mask allows
    it nowhere are refused or dropped.
    micro_batch: the number of samples in memory at a time, in each process. zoom: without a cache,
    the largest random enlargement of a picture before it is cropped. timesteps: the distribution of
    noise levels; default: logit-normal for flow matching, else uniform. flow_loss: for flow
    matching, whether the loss is the error of the velocity (default) or of the picture (x0).
    guidance: the guidance input of a distilled network (FLUX Kontext) in training; default: 1.
    """

    base: str
    data: str | Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    split: str = "train"
    draw: Literal["samples", "prompts"] = "samples"
    conditions: tuple[Literal["source", "mask", "reward"], ...] = ("source",)
    reward: RewardSettings = RewardSettings()
    new_weights: NewWeights = "zero"
    lora: LoraSettings | None = None
    size: int = Field(default=256, ge=8)
    buckets: bool = False
    flip: bool = True
    side_words: tuple[str, ...] = ()
    crop: Crop = "edit"
    zoom: float = Field(default=1.0, ge=1, le=4)
    soft_masks: tuple[float, float] | None = None
    cache: bool = True
    steps: int = Field(default=10_000, ge=1)
    batch: int = Field(default=64, ge=1)
    micro_batch: int | None = Field(default=None, ge=1)
    learning_rate: float = Field(default=5e-5, gt=0)
    schedule: LearningRateSchedule = "constant"
    warm_up: int = Field(default=0, ge=0)
    optimiser: OptimiserSettings = OptimiserSettings()
    weighting: Weighting = "plain"
    timesteps: Literal["uniform", "logit-normal"] | None = None
    flow_loss: FlowLoss | None = None
    guidance: float | None = Field(default=None, ge=0)
    drop: DropSettings = DropSettings()
    average: float | None = Field(default=0.9999, ge=0, lt=1)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    gradient_checkpointing: bool = False
    compile: bool = False
    checkpoint_every: int = Field(default=500, ge=1, description="steps between checkpoints")
    log_every: int = Field(default=10, ge=1, description="steps between lines of metrics")
    keep: int = Field(default=2, ge=1, description="checkpoints kept, besides the best")
    samples: int = Field(default=4, ge=0, description="held-out edits previewed at each checkpoint")
    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()

    @field_validator("conditions")
    @classmethod
    def _has_a_source(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if "source" not in names or len(set(names)) < len(names):
            raise ValueError("conditions must list source, optionally mask and reward, each once")
        return tuple(name for name in CONDITIONS if name in names)

    @field_validator("soft_masks")
    @classmethod
    def _is_a_range(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0 <= value[0] <= value[1] <= 1:
            raise ValueError("soft_masks must be a range within 0..1, such as [0.2, 0.8]")
        return value

    @field_validator("side_words")
    @classmethod
    def _are_words(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if not all(word.strip(" *") for word in words):
            raise ValueError("side_words must be words, such as babord or tribord*")
        return words

    @model_validator(mode="after")
    def _fits_together(self) -> DiffusionTrainingSettings:
        released = "reward" in self.conditions and self.reward.variant == "released"
        if released and self.drop.reward:
            raise ValueError(
                "the released reward condition cannot handle missing scores: set drop.reward to 0, "
                "or another reward.variant"
            )
        if self.soft_masks is not None and "mask" not in self.conditions:
            raise ValueError("soft_masks has no effect: add mask to conditions, or leave it out")
        if self.side_words and not self.flip:
            raise ValueError("side_words has no effect with flip: false: leave it out")
        if self.cache and self.zoom > 1:
            raise ValueError("zoom is random, which a cache cannot hold: set cache to false")
        return self

    @property
    def runs(self) -> tuple[Path, ...]:
        """The folders of `data`."""
        named = (self.data,) if isinstance(self.data, str) else self.data or ()
        return tuple(map(Path, named))

    @property
    def framing(self) -> Framing:
        """The resizing and cropping of pictures to the training size."""
        multiple = min(_SIDES, self.size)
        return Framing(
            self.size, self.buckets, multiple, self.soft_masks, self.crop, self.mask_reading
        )

    @property
    def deciding(self) -> dict[str, object]:
        """The settings that can change the trained weights."""
        unused = set() if "reward" in self.conditions else {"reward"}
        return self.model_dump(mode="json", exclude=_OF_THE_MACHINE | unused)

    def wanted(self, precision: Literal["bf16", "fp32"], seed: int) -> Wanted:
        """Return the request for the base model."""
        lora = self.lora
        return Wanted(
            conditions=self.conditions,
            reward=self.reward if "reward" in self.conditions else None,
            new_weights=self.new_weights,
            lora=None if lora is None else Lora(lora.rank, lora.alpha or lora.rank),
            precision=precision,
            seed=seed,
        )

    def plan(self, name: str, seed: int) -> Schedule:
        """Return the schedule of the training loop."""
        chosen = self.optimiser
        return Schedule(
            name=name,
            steps=self.steps,
            batch=self.batch,
            learning_rate=self.learning_rate,
            seed=seed,
            schedule=self.schedule,
            warm_up=self.warm_up,
            optimiser=Optimiser(chosen.kind, chosen.betas, chosen.weight_decay, chosen.clip),
            average=self.average,
            micro=self.micro_batch,
            checkpoint_every=self.checkpoint_every,
            log_every=self.log_every,
            keep=self.keep,
            compile=self.compile,
            trackers=self.trackers,
        )

    def objective(self, model: DiffusionModel) -> Objective:
        """Return the objective for a model; raise RecipeError for a setting that has no effect."""
        flow = model.levels.prediction == "flow"
        if self.flow_loss is not None and not flow:
            raise self._without_effect("flow_loss", "Stable Diffusion 3 and FLUX")
        if self.guidance is not None and model.family.editing.guidance is None:
            raise self._without_effect("guidance", "distilled networks (FLUX)")
        return Objective(
            timesteps=self.timesteps or ("logit-normal" if flow else "uniform"),
            weighting=self.weighting,
            flow_loss=self.flow_loss or "velocity",
            guidance=self.guidance,
            drop=self.drop.rates(model.family.dropout),
        )

    def _without_effect(self, name: str, known: str) -> RecipeError:
        return RecipeError(
            f"`{name}` has no effect on this base: it is for {known}",
            value=self.base,
            fix=f"leave out {name}",
        )
